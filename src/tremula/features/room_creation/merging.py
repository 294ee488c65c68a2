"""Chats that bridges put together into one room, or take apart."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from tremula.features.hungry_rooms.service import Authority, HungryRooms
from tremula.features.room_creation.service import RoomCreation, RoomRequest
from tremula.features.room_deletions.service import RoomDeletions
from tremula.infra.http import Requester
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import EventId, RoomId, ServerName, UserId
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.batches import BatchEvent
from tremula.rooms.event_store import END_POS, EventStore
from tremula.rooms.events import StoredEvent, new_local_event_id
from tremula.rooms.room import REDACTION
from tremula.rooms.view import RoomView

EVENTS_MAX: Final = 100_000
_AT_ONCE: Final = 1_000
_PAGE: Final = 500


class Part(Struct, frozen=True):
    """A room for the messages that have one of some values, made by *user_id*."""

    user_id: UserId
    values: Sequence[str]
    request: RoomRequest


class Merging(Struct, frozen=True):
    """Makes new rooms of the messages of others, which go when all of theirs are there.

    A message's copy has an ID of its own, and relates to the copies of what it related
    to. State, and what was redacted, is not taken over.
    """

    creation: RoomCreation
    authority: Authority
    hungry_rooms: HungryRooms
    deletions: RoomDeletions
    events: EventStore

    async def merge(
        self,
        requester: Requester,
        room_ids: Sequence[RoomId],
        *,
        key: str,
        into: Part,
    ) -> RoomId:
        """Make one room of several, whose messages are in order of their times.

        What has no *key* in its content gets one: the room that it comes from.

        Raises:
            Forbidden: a room, or a user, is not the application service's.
            InvalidParam: there are too many messages.
        """
        appservice = self.authority.appservice(requester)
        self.authority.check_users(appservice, [into.user_id])
        found: list[tuple[int, int, str]] = []
        for room_id in dict.fromkeys(room_ids):
            view = await self.authority.own_room(requester, room_id)
            latest_ms = 0
            async for event in self._messages(view):
                # Whatever the times are: within a room, the order stays.
                latest_ms = max(latest_ms, event.origin_server_ts)
                found.append((latest_ms, event.event_nid, room_id))
                _check_count(len(found))
        found.sort(key=lambda each: each[0])
        room_id = await self.creation.create(into.user_id, into.request)
        copying = await self._copying(room_id)
        for start in range(0, len(found), _AT_ONCE):
            some = found[start : start + _AT_ONCE]
            events = await self.events.by_nids(nid for _, nid, _ in some)
            copies = [copying.of(events[nid], {key: source}) for _, nid, source in some]
            await self.hungry_rooms.restate(appservice.id, room_id, copies)
        for source in dict.fromkeys(room_ids):
            await self.deletions.request(source, stays_blocked=False)
        return room_id

    async def split(
        self, requester: Requester, room_id: RoomId, *, key: str, parts: Sequence[Part]
    ) -> dict[str, RoomId]:
        """Make several rooms of one, by what messages have as *key* in their contents;
        the room of each value. If some have none of the values, the old room stays.

        Raises:
            Forbidden: the room, or a user, is not the application service's.
        """
        appservice = self.authority.appservice(requester)
        self.authority.check_users(appservice, [part.user_id for part in parts])
        view = await self.authority.own_room(requester, room_id)
        room_ids: dict[str, RoomId] = {}
        copyings: dict[RoomId, _Copying] = {}
        for part in parts:
            new_id = await self.creation.create(part.user_id, part.request)
            copyings[new_id] = await self._copying(new_id)
            room_ids |= dict.fromkeys(part.values, new_id)
        has_others = False
        async for event in self._messages(view):
            value = event.content.get(key)
            target = room_ids.get(value) if isinstance(value, str) else None
            if target is None:
                has_others = True
                continue
            copying = copyings[target]
            copying.waiting.append(copying.of(event, {}))
            if len(copying.waiting) >= _AT_ONCE:
                await self._restate(appservice.id, copying)
        for copying in copyings.values():
            await self._restate(appservice.id, copying)
        if not has_others:
            await self.deletions.request(room_id, stays_blocked=False)
        return room_ids

    async def _copying(self, room_id: RoomId) -> "_Copying":
        view = await self.creation.membership.reader.get_room(room_id)
        return _Copying(room_id, view.version, self.authority.server_name)

    async def _restate(self, appservice_id: str, copying: "_Copying") -> None:
        events, copying.waiting = copying.waiting, []
        if events:
            await self.hungry_rooms.restate(appservice_id, copying.room_id, events)

    async def _messages(self, view: RoomView) -> AsyncIterator[StoredEvent]:
        after = -END_POS
        while page := await self.events.forwards(view.nid, after=after, limit=_PAGE):
            for event in page:
                is_message = not event.is_state and event.type != REDACTION
                if is_message and event.redacted_by_nid is None:
                    yield event
            after = page[-1].room_pos


class _Copying(Struct):
    """Makes copies for one room, and knows which are whose."""

    room_id: RoomId
    version: RoomVersion
    server_name: ServerName
    waiting: list[BatchEvent] = field(default_factory=list[BatchEvent])
    _copies: dict[str, EventId] = field(default_factory=dict[str, EventId])

    def of(self, event: StoredEvent, extra: Mapping[str, Any]) -> BatchEvent:
        """A copy of *event*; *extra* is what its content says if it says no more."""
        event_id = new_local_event_id(self.version, self.server_name)
        self._copies[event.event_id] = event_id
        content = {**extra, **event.content}
        relation = content.get("m.relates_to")
        if isinstance(relation, dict):
            content["m.relates_to"] = self._moved(relation)
        return BatchEvent(
            event.type, event.sender, content, event_id, event.origin_server_ts
        )

    def _moved(self, relation: Mapping[str, Any]) -> dict[str, Any]:
        moved = dict(relation)
        named = moved.get("event_id")
        if isinstance(named, str):
            moved["event_id"] = self._copies.get(named, named)
        reply = moved.get("m.in_reply_to")
        if isinstance(reply, dict):
            moved["m.in_reply_to"] = self._moved(reply)
        return moved


def _check_count(count: int) -> None:
    if count > EVENTS_MAX:
        raise InvalidParam(f"no more than {EVENTS_MAX} messages can be merged")
