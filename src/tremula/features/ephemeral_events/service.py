"""Ephemeral events: told to whoever is in the room, kept in memory for two minutes.

Every process keeps them all. They go to no other server.
"""

import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.infra.journal import Journal
from tremula.protocol.base64 import encode_base64_urlsafe
from tremula.protocol.errors import Forbidden, InvalidParam, TooLarge
from tremula.protocol.identifiers import ID_BYTES_MAX, EventId, RoomId, UserId
from tremula.protocol.json import encode_to_keep
from tremula.protocol.power_levels import parse_level
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView

TOPIC: Final = "ephemeral_event"
"""Announced with the room nid as key and an `EphemeralEvent` as payload."""

LIFETIME_S: Final = 120.0
CONTENT_BYTES_MAX: Final = 65_536
# Of all rooms together; the oldest go first.
KEPT_BYTES_MAX: Final = 16 * 1024 * 1024

_ENTRY_BYTES: Final = 600
# MSC2477: what takes 50 where the room says nothing.
_LEVEL_DEFAULT: Final = 50
_ENCRYPTED: Final = "m.room.encrypted"


class EphemeralEvent(Struct, frozen=True):
    """An event as clients are shown it (``event_json``), and what it is known by."""

    room_id: RoomId
    sender: UserId
    type: str
    event_id: EventId
    txn_id: str
    event_json: bytes


class Sent(Struct, frozen=True):
    """What a client sends; ``ts_ms`` is its time, None for now."""

    room_id: RoomId
    type: str
    txn_id: str
    content: Mapping[str, Any]
    ts_ms: int | None


class _Kept(Struct, frozen=True):
    pos: int
    room_nid: int
    event: EphemeralEvent
    expires_s: float


_TxnKey = tuple[int, UserId, str, str]


class EphemeralEvents:
    """Takes ephemeral events, and remembers them as long as they live."""

    def __init__(self, reader: RoomReader, journal: Journal, clock: Clock) -> None:
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._kept: deque[_Kept] = deque()
        self._by_room: dict[int, deque[_Kept]] = {}
        self._by_txn: dict[_TxnKey, EventId] = {}
        self._size_bytes = 0
        journal.subscribe(TOPIC, self._take)
        journal.on_forget(self._forget)

    async def send(self, user_id: UserId, sent: Sent) -> EventId:
        """Tell the room of an event, once for its transaction ID.

        Raises:
            Forbidden: the user is not in the room, or lacks the power.
            InvalidParam: the type is the server's own, or too long.
            TooLarge: the content has more than 64 KiB.
        """
        _check_type(sent.type)
        content = encode_to_keep(sent.content)
        if len(content) > CONTENT_BYTES_MAX:
            raise TooLarge(f"an ephemeral event has at most {CONTENT_BYTES_MAX} bytes")
        view = await self._reader.get_joined(sent.room_id, user_id)
        _check_level(view, user_id, sent.type)
        self._drop_expired()
        known = self._by_txn.get((view.nid, user_id, sent.type, sent.txn_id))
        if known is not None:
            return known
        event_id = EventId("$" + encode_base64_urlsafe(secrets.token_bytes(32)))
        shown = {
            "type": sent.type,
            "sender": user_id,
            "event_id": event_id,
            "room_id": view.room_id,
            "origin_server_ts": (
                self._clock.now_ms() if sent.ts_ms is None else sent.ts_ms
            ),
            "content": orjson.Fragment(content),
        }
        event = EphemeralEvent(
            room_id=view.room_id,
            sender=user_id,
            type=sent.type,
            event_id=event_id,
            txn_id=sent.txn_id,
            event_json=encode_to_keep(shown),
        )
        pos = self._journal.ephemeral(
            TOPIC,
            view.nid,
            event,
            wake=view.joined_members(),
            room_nids=(view.nid,),
            size_bytes=_size_of(event),
        )
        await self._journal.settled(pos)
        return event_id

    def rooms_after(self, pos: int) -> set[int]:
        """The nids of the rooms with events that came after a journal position."""
        self._drop_expired()
        return {nid for nid, kept in self._by_room.items() if kept[-1].pos > pos}

    def after(self, room_nid: int, pos: int, *, up_to: int) -> Sequence[EphemeralEvent]:
        """The events of a room between two journal positions, oldest first."""
        self._drop_expired()
        kept = self._by_room.get(room_nid, ())
        return [each.event for each in kept if pos < each.pos <= up_to]

    def find(self, room_nid: int, event_id: EventId) -> EphemeralEvent | None:
        """An event of a room, unless its time is over."""
        self._drop_expired()
        for kept in self._by_room.get(room_nid, ()):
            if kept.event.event_id == event_id:
                return kept.event
        return None

    def _take(self, pos: int, room_nid: object, event: object) -> None:
        assert isinstance(room_nid, int)
        assert isinstance(event, EphemeralEvent)
        self._drop_expired()
        expires_s = self._clock.monotonic_s() + LIFETIME_S
        kept = _Kept(pos, room_nid, event, expires_s)
        self._kept.append(kept)
        self._by_room.setdefault(room_nid, deque()).append(kept)
        self._by_txn[_txn_key(kept)] = event.event_id
        self._size_bytes += _size_of(event)
        while self._size_bytes > KEPT_BYTES_MAX:
            self._drop_oldest()

    def _drop_expired(self) -> None:
        now_s = self._clock.monotonic_s()
        while self._kept and self._kept[0].expires_s <= now_s:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._kept.popleft()
        self._size_bytes -= _size_of(oldest.event)
        self._by_txn.pop(_txn_key(oldest), None)
        # They are in the same order.
        of_room = self._by_room[oldest.room_nid]
        of_room.popleft()
        if not of_room:
            del self._by_room[oldest.room_nid]

    def _forget(self) -> None:
        self._kept.clear()
        self._by_room.clear()
        self._by_txn.clear()
        self._size_bytes = 0


def _txn_key(kept: _Kept) -> _TxnKey:
    event = kept.event
    return (kept.room_nid, event.sender, event.type, event.txn_id)


def _size_of(event: EphemeralEvent) -> int:
    return _ENTRY_BYTES + len(event.event_json)


def _check_type(event_type: str) -> None:
    if len(event_type.encode()) > ID_BYTES_MAX:
        raise InvalidParam(f"a type has at most {ID_BYTES_MAX} bytes")
    # Nobody may make up who types, or what others have read.
    if event_type.startswith("m.") and event_type != _ENCRYPTED:
        raise InvalidParam(f"{event_type} is sent by the server only")


def _check_level(view: RoomView, user_id: UserId, event_type: str) -> None:
    content = view.content_of("m.room.power_levels") or {}
    by_type = content.get("ephemeral")
    raw = by_type.get(event_type) if isinstance(by_type, dict) else None
    for each in (raw, content.get("ephemeral_default")):
        level = parse_level(view.version, each)
        if level is not None:
            break
    else:
        level = _LEVEL_DEFAULT
    if view.power_levels.user(user_id) < level:
        raise Forbidden(f"You may not send {event_type} to this room")
