"""Syncing (CS "Syncing"): what is new for one device, or will be soon."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import orjson
from msgspec import Struct

from tremula.features.sync.last_answers import LastAnswer, LastAnswers
from tremula.features.sync.parts import (
    DeviceStatus,
    Inbox,
    Parts,
    SyncContext,
    UserPart,
)
from tremula.features.sync.request import StateForm, SyncRequest
from tremula.features.sync.rooms_section import RoomsSection, Sections
from tremula.infra.clock import Clock
from tremula.infra.journal import Journal
from tremula.infra.tokens import StreamToken
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import RoomId

__all__ = ["TIMEOUT_MAX_S", "StateForm", "Sync", "SyncRequest"]

# Clients give up after about two minutes, whatever they asked for.
TIMEOUT_MAX_S: Final = 90.0


class Sync(Struct, frozen=True):
    """Answers `/sync`.

    A poll with nothing new costs one look at the notifier and a future: no query,
    and nothing a room.
    """

    journal: Journal
    rooms: RoomsSection
    parts: Parts[UserPart]
    inbox: Inbox
    device_status: DeviceStatus
    last_answers: LastAnswers
    clock: Clock

    async def answer(self, request: SyncRequest) -> bytes:
        """The JSON of the answer; waits for news up to the request's timeout.

        Raises:
            InvalidParam: ``since`` is ahead of everything this server handed out.
        """
        since = request.since.pos if request.since else 0
        last = self.last_answers.find(request)
        if last is None:
            await self._receive(request, since)
        elif last.had_messages:
            await self._prove_receipt(request)
            last.had_messages = False
        if not since or request.full_state:
            answer = await self._build(request, since, None)
        else:
            answer = await self._news(request, since, last)
        ctx = answer.ctx
        if last is not None and ctx is not None and ctx.only_events_in is not None:
            last.pos, last.had_messages = ctx.now, answer.has_messages
            return answer.only_events(last.status)
        status = b""
        if request.device_id:
            status = await self.device_status.fields(request.user_id, request.device_id)
            if ctx is not None and answer.is_last:
                self.last_answers.keep(ctx, status, had_messages=answer.has_messages)
        return answer.to_json(status)

    async def _receive(self, request: SyncRequest, since: int) -> None:
        if since > self.journal.position and not await self.journal.covers(since):
            raise InvalidParam("since is not a token of this server")
        await self._prove_receipt(request)

    async def _prove_receipt(self, request: SyncRequest) -> None:
        if request.since and request.device_id:
            await self.inbox.received(request.user_id, request.device_id, request.since)

    async def _news(
        self, request: SyncRequest, since: int, last: LastAnswer | None
    ) -> "_Answer":
        user_id = request.user_id
        left_s = min(request.timeout_s, TIMEOUT_MAX_S)
        deadline_s = self.clock.monotonic_s() + left_s
        is_due, checked = last is None and request.is_due, since
        while True:
            if left_s > 0 and not self.journal.is_alone:
                # Other processes wake by rooms: whose members are found in memory.
                await self.rooms.memberships.joined_by(user_id)
            if not is_due and not await self.journal.wait(user_id, checked, left_s):
                return _Answer(self.journal.position)
            answer = await self._build(request, since, last)
            if answer.has_news:
                return answer
            left_s = deadline_s - self.clock.monotonic_s()
            if left_s <= 0:
                return answer
            is_due, checked = False, answer.pos

    async def _build(
        self, request: SyncRequest, since: int, last: LastAnswer | None
    ) -> "_Answer":
        ctx = None
        if last is not None:
            ctx = self.last_answers.context(request, since, last)
        pos = self.journal.position
        if ctx is None:
            ctx = await self.rooms.context(request)
        rooms: Sections = {}
        if ctx.only_events_in is None or ctx.only_events_in:
            rooms = await self.rooms.build(ctx, since, state_form=request.state_form)
        sections = {}
        if ctx.only_events_in is None:
            for part in self.parts.speaking(ctx.heard):
                value = await part.user_section(ctx, since)
                if value is not None:
                    sections[part.key] = value
        device_pos = None
        # What was read while something else was told may not be all of one time.
        is_last = pos == ctx.now
        if ctx.may_have(self.inbox.topic) or request.is_due:
            page = await self.inbox.page(ctx, request.since)
            device_pos = page.device_pos
            if page.events:
                events = ",".join(page.events).encode()
                sections["to_device"] = b'{"events":[%b]}' % events
        return _Answer(ctx.now, device_pos, rooms, sections, ctx, is_last)


class _Answer(Struct, frozen=True):
    """``ctx`` is that of an answer that was built. With ``is_last`` nothing is left to
    tell that it knows of.
    """

    pos: int
    device_pos: int | None = None
    rooms: Sections = {}
    sections: Mapping[str, bytes] = {}
    ctx: SyncContext | None = None
    is_last: bool = False

    @property
    def has_news(self) -> bool:
        return bool(self.sections) or any(self.rooms.values())

    @property
    def has_messages(self) -> bool:
        """Whether the device is to prove that it received some."""
        return "to_device" in self.sections

    def only_events(self, status: bytes) -> bytes:
        """As `to_json`: mostly of one room, where many are shown the same event."""
        joined = self.rooms.get("join", {})
        if len(joined) != 1 or self.sections:
            return self.to_json(status)
        [(room_id, entry)] = joined.items()
        return _of_one_room(self.pos, room_id, entry, status)

    def to_json(self, status: bytes) -> bytes:
        # Of pieces, put together once: an initial sync has megabytes.
        token = StreamToken(self.pos, self.device_pos)
        pieces = [b'{"next_batch":"%b","rooms":{' % str(token).encode()]
        between_sections = b""
        for name, rooms in self.rooms.items():
            if rooms:
                pieces.append(b'%b"%b":' % (between_sections, name.encode()))
                between = b"{"
                for room_id, entry in rooms.items():
                    pieces += (between, orjson.dumps(room_id), b":", entry)
                    between = b","
                pieces.append(b"}")
                between_sections = b","
        pieces.append(b"}")
        for key, value in self.sections.items():
            pieces += (b',"%b":' % key.encode(), value)
        if status:
            pieces += (b",", status)
        pieces.append(b"}")
        return b"".join(pieces)


@lru_cache(maxsize=16)
def _of_one_room(pos: int, room_id: RoomId, entry: bytes, status: bytes) -> bytes:
    """The same for all who have as much unread there, of whom there are many."""
    return _Answer(pos, rooms={"join": {room_id: entry}}).to_json(status)
