"""Who is typing where. It is in memory only: of the time before a restart nothing
remains but the rooms, so that clients do not show somebody typing for ever.
"""

import asyncio
import heapq
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from msgspec import Struct

from tremula.features.typing import storage
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.json import encode_to_keep
from tremula.rooms.memberships import TOPIC as MEMBERSHIP_TOPIC
from tremula.rooms.reader import RoomReader
from tremula.rooms.storage import UserRoom
from tremula.rooms.view import RoomView

# Announced with the room nid as key; `Typing.of_room` says who types.
TOPIC: Final = "typing"

TIMEOUT_DEFAULT_MS: Final = 30_000
TIMEOUT_MAX_MS: Final = 120_000
# More are not shown: nobody reads so many names while they type.
USERS_MAX: Final = 50

# How long clients may have been away that still show somebody typing.
LATELY_MS: Final = 24 * 3600 * 1000

_RESOLUTION_S: Final = 1.0
_RECORD_EVERY_S: Final = 3600
_RECORDED_MAX: Final = 50_000
_NIDS_PER_QUERY: Final = 500


class TypingUsers(Struct, frozen=True):
    """Everyone who types in a room, and the ``m.typing`` event that says so."""

    user_ids: tuple[UserId, ...]
    event_json: bytes

    @classmethod
    def of(cls, user_ids: tuple[UserId, ...]) -> "TypingUsers":
        """Encode the event once for everyone."""
        event = {"type": "m.typing", "content": {"user_ids": user_ids}}
        return cls(user_ids, encode_to_keep(event))


class TypingListener(Protocol):
    """Told of everyone who begins, goes on or ends to type."""

    def __call__(self, view: RoomView, user_id: UserId, *, is_typing: bool) -> None:
        """*user_id* types, or does not any more."""
        ...


class _TypingRoom(Struct):
    view: RoomView
    deadlines_s: dict[UserId, float]
    shown: TypingUsers


class Typing:
    """Keeps the typing users of each room until they stop or time out."""

    def __init__(
        self, db: Reader, reader: RoomReader, journal: Journal, clock: Clock
    ) -> None:
        self._db = db
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._rooms: dict[int, _TypingRoom] = {}
        # (deadline_s, room_nid, user_id), one for each who types. A refresh leaves it
        # alone: it is pushed again, with the new deadline, when the old one comes.
        self._timers: list[tuple[float, int, UserId]] = []
        self._timer_of: dict[tuple[int, UserId], float] = {}
        # When it was stored last that somebody types in a room.
        self._recorded_s: dict[int, float] = {}
        self._somebody_types = asyncio.Event()
        self._listeners: list[TypingListener] = []
        journal.subscribe(MEMBERSHIP_TOPIC, self._membership_changed)

    def listen(self, listener: TypingListener) -> None:
        """Let *listener* know of everyone who types; it must not wait."""
        self._listeners.append(listener)

    def of_room(self, room_nid: int) -> TypingUsers | None:
        """Who types in a room now; ``None`` if nobody does."""
        room = self._rooms.get(room_nid)
        return room.shown if room else None

    @property
    def rooms(self) -> AbstractSet[int]:
        """The nids of the rooms in which somebody types."""
        return self._rooms.keys()

    async def lately_among(self, room_nids: Collection[int]) -> set[int]:
        """Those of *room_nids* in which somebody types or did on the last day.

        Also before a restart. One query for 500 rooms.
        """
        nids = list(room_nids)
        since_ts_ms = self._clock.now_ms() - LATELY_MS
        found = self._rooms.keys() & set(nids)
        for start in range(0, len(nids), _NIDS_PER_QUERY):
            found |= await storage.typing_rooms_among(
                self._db, nids[start : start + _NIDS_PER_QUERY], since_ts_ms=since_ts_ms
            )
        return found

    async def start(self, user_id: UserId, room_id: RoomId, *, timeout_ms: int) -> None:
        """*user_id* types in a room, for *timeout_ms* unless this is repeated.

        Raises:
            Forbidden: *user_id* is not joined to *room_id*.
        """
        view = await self._reader.get_joined(room_id, user_id)
        await self._record(view.nid)
        room = self._rooms.get(view.nid)
        if room is None:
            room = _TypingRoom(view, {}, TypingUsers.of(()))
            self._rooms[view.nid] = room
        room.view = view
        is_new = user_id not in room.deadlines_s
        if is_new and len(room.deadlines_s) >= USERS_MAX:
            return
        timeout_s = min(timeout_ms, TIMEOUT_MAX_MS) / 1000
        deadline_s = self._clock.monotonic_s() + timeout_s
        room.deadlines_s[user_id] = deadline_s
        self._set_timer(view.nid, user_id, deadline_s)
        if is_new:
            self._announce(room)
        self._tell(room, user_id, is_typing=True)

    async def stop(self, user_id: UserId, room_id: RoomId) -> None:
        """*user_id* does not type in a room any more.

        Raises:
            Forbidden: *user_id* is not joined to *room_id*.
        """
        view = await self._reader.get_joined(room_id, user_id)
        self._remove(view.nid, {user_id})

    async def run(self) -> None:
        """Time users out for ever; meant for the supervisor."""
        while True:
            await self._somebody_types.wait()
            await asyncio.sleep(_RESOLUTION_S)
            self.time_out()

    def time_out(self) -> None:
        """Remove everyone whose time is over."""
        now_s = self._clock.monotonic_s()
        expired: dict[int, set[UserId]] = {}
        while self._timers and self._timers[0][0] <= now_s:
            timer_s, room_nid, user_id = heapq.heappop(self._timers)
            if self._timer_of.get((room_nid, user_id)) == timer_s:
                del self._timer_of[room_nid, user_id]
            room = self._rooms.get(room_nid)
            deadline_s = room.deadlines_s.get(user_id) if room else None
            if deadline_s is None:
                continue
            if deadline_s > now_s:
                self._set_timer(room_nid, user_id, deadline_s)
            else:
                expired.setdefault(room_nid, set()).add(user_id)
        for room_nid, user_ids in expired.items():
            self._remove(room_nid, user_ids)
        if not self._timers:
            self._somebody_types.clear()

    async def _record(self, room_nid: int) -> None:
        now_s = self._clock.monotonic_s()
        recorded_s = self._recorded_s.get(room_nid)
        if recorded_s is not None and now_s - recorded_s < _RECORD_EVERY_S:
            return
        unit = self._journal.unit()
        storage.upsert_typing_room(unit, room_nid, typed_ts_ms=self._clock.now_ms())
        await self._journal.commit(unit)
        if len(self._recorded_s) >= _RECORDED_MAX:
            self._recorded_s.clear()
        self._recorded_s[room_nid] = now_s

    def _set_timer(self, room_nid: int, user_id: UserId, deadline_s: float) -> None:
        timer_s = self._timer_of.get((room_nid, user_id))
        if timer_s is not None and timer_s <= deadline_s:
            return
        self._timer_of[room_nid, user_id] = deadline_s
        heapq.heappush(self._timers, (deadline_s, room_nid, user_id))
        self._somebody_types.set()

    def _remove(self, room_nid: int, user_ids: AbstractSet[UserId]) -> None:
        room = self._rooms.get(room_nid)
        if room is None or user_ids.isdisjoint(room.deadlines_s):
            return
        gone = [user_id for user_id in user_ids if user_id in room.deadlines_s]
        for user_id in gone:
            del room.deadlines_s[user_id]
        if not room.deadlines_s:
            del self._rooms[room_nid]
        self._announce(room)
        for user_id in gone:
            self._tell(room, user_id, is_typing=False)

    def _announce(self, room: _TypingRoom) -> None:
        room.shown = TypingUsers.of(tuple(room.deadlines_s))
        members = room.view.joined_members()
        nid = room.view.nid
        self._journal.ephemeral(TOPIC, nid, None, wake=members, room_nids=(nid,))

    def _tell(self, room: _TypingRoom, user_id: UserId, *, is_typing: bool) -> None:
        for listener in self._listeners:
            listener(room.view, user_id, is_typing=is_typing)

    def _membership_changed(self, _pos: int, user_id: object, room: object) -> None:
        assert isinstance(user_id, str)
        assert isinstance(room, UserRoom)
        if room.membership != "join":
            self._remove(room.room_nid, {UserId(user_id)})
