"""The event stream that `/sync` has replaced, told by way of `/sync` itself.

No client of today asks for it: each answer costs one of `/sync` and a page of
`/messages` for each room, and nothing is remembered to make it cheaper.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.history.service import History, PageRequest
from tremula.features.old_sync.peeking import Peeking
from tremula.features.room_previews.service import RoomPreviews
from tremula.features.sync.service import (
    TIMEOUT_MAX_S,
    StateForm,
    Sync,
    SyncRequest,
)
from tremula.infra.http import Requester
from tremula.infra.tokens import StreamToken
from tremula.protocol.errors import NotFound
from tremula.protocol.filters import Filter
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.rooms.event_store import EventStore
from tremula.rooms.reader import RoomReader
from tremula.rooms.serialize import Audience
from tremula.rooms.state import MEMBER
from tremula.rooms.tokens import format_place

_EVENTS_MAX: Final = 1000
_NOTHING: Final[Mapping[str, Any]] = {"types": []}
# Events of rooms only: of others, the stream has no form in the specification.
_NEWS: Final = Filter.parse(
    {
        "presence": _NOTHING,
        "account_data": _NOTHING,
        "room": {
            "account_data": _NOTHING,
            "ephemeral": _NOTHING,
            "timeline": {"limit": 1},
        },
    }
)
_ROOM_LIST: Final = {
    "ephemeral": _NOTHING,
    "account_data": _NOTHING,
    "state": _NOTHING,
    "timeline": {"limit": 1},
}
_EVERYTHING: Final = Filter.parse({"room": _ROOM_LIST})
_ARCHIVED_TOO: Final = Filter.parse({"room": _ROOM_LIST | {"include_leave": True}})


class Chunk(Struct, frozen=True):
    """Events, ready JSON, and the tokens before and after them."""

    events: Sequence[bytes]
    start: str
    end: str


class OldSync(Struct, frozen=True):
    """Answers the deprecated endpoints of CS "Syncing"."""

    sync: Sync
    history: History
    previews: RoomPreviews
    peeking: Peeking
    events: EventStore
    reader: RoomReader

    async def initial(
        self, requester: Requester, *, limit: int, archived: bool
    ) -> bytes:
        """All rooms of a user with up to *limit* events each: CS initialSync."""
        wanted = _ARCHIVED_TOO if archived else _EVERYTHING
        told = await self._synced(requester.user_id, None, wanted)
        been_in = [*told["rooms"].get("join", ()), *told["rooms"].get("leave", ())]
        rooms = [
            await self.previews.snapshot(requester, RoomId(room_id), limit=limit)
            for room_id in been_in
        ]
        rooms += [
            await self._invited(requester, RoomId(room_id))
            for room_id in told["rooms"].get("invite", ())
        ]
        return b'{"end":"%b","presence":%b,"account_data":%b,"rooms":[%b]}' % (
            told["next_batch"].encode(),
            _events_of(told, "presence"),
            _events_of(told, "account_data"),
            b",".join(rooms),
        )

    async def listen(
        self, requester: Requester, since: StreamToken | None, timeout_s: float
    ) -> Chunk:
        """What has happened in the user's rooms, or will within *timeout_s*.

        Without *since* all that comes from now on.

        Raises:
            InvalidParam: *since* is no token of this server.
        """
        user_id = requester.user_id
        since = since or StreamToken(self.sync.journal.position)
        told = await self._synced(user_id, since, _NEWS, timeout_s)
        start, end = str(since), str(told["next_batch"])
        news: list[bytes] = []
        for section in ("join", "leave"):
            for room_id in told["rooms"].get(section, ()):
                news += await self._between(requester, RoomId(room_id), start, end)
        for room_id in told["rooms"].get("invite", ()):
            invite = await self._invitation(requester, RoomId(room_id))
            news += () if invite is None else (invite,)
        return Chunk(news, start, end)

    async def peek(
        self,
        requester: Requester,
        room_id: RoomId,
        start: str | None,
        timeout_s: float,
    ) -> Chunk:
        """What happens in one room, which the user need not be in: CS peekEvents.

        Raises:
            Forbidden: the requester may not read the room.
            InvalidParam: *start* is no token of this server.
        """
        user_id, clock = requester.user_id, self.sync.clock
        deadline_s = clock.monotonic_s() + min(timeout_s, TIMEOUT_MAX_S)
        access = await self.previews.access.reading(user_id, room_id)
        start = start or format_place(access.up_to)
        is_last = False
        with self.peeking.watching(access.view.nid) as news:
            while True:
                news.clear()
                chunk = await self._page(requester, room_id, start)
                remaining_s = deadline_s - clock.monotonic_s()
                if chunk.events or is_last or remaining_s <= 0:
                    return chunk
                is_last = not await self.peeking.wait(user_id, news, remaining_s)

    async def event(self, requester: Requester, event_id: EventId) -> bytes:
        """An event of whichever room.

        Raises:
            NotFound: there is none, or the requester may not see it.
        """
        found = await self.events.find_anywhere(event_id)
        if found is None:
            raise NotFound("Event not found.")
        room_ids = await self.reader.room_ids([found.room_nid])
        return await self.history.event(requester, room_ids[found.room_nid], event_id)

    async def _page(self, requester: Requester, room_id: RoomId, start: str) -> Chunk:
        access = await self.previews.access.reading(requester.user_id, room_id)
        up_to = format_place(access.up_to)
        page = await self.history.page(
            requester,
            room_id,
            PageRequest(backwards=False, start=start, stop=up_to, limit=_EVENTS_MAX),
        )
        return Chunk(page.chunk, start, page.end or up_to)

    async def _between(
        self, requester: Requester, room_id: RoomId, start: str, end: str
    ) -> list[bytes]:
        news: list[bytes] = []
        place: str | None = start
        while place is not None and len(news) < _EVENTS_MAX:
            page = await self.history.page(
                requester,
                room_id,
                PageRequest(backwards=False, start=place, stop=end, limit=_EVENTS_MAX),
            )
            news += page.chunk
            place = page.end
        return news

    async def _invitation(self, requester: Requester, room_id: RoomId) -> bytes | None:
        """The event that invites the user; None if only another server has it."""
        view = await self.reader.find_room(room_id)
        if view is None:
            return None
        invite = view.state.get((MEMBER, requester.user_id))
        if invite is None:
            return None
        event = await self.events.by_nid(invite.event_nid)
        audience = Audience(
            await self.previews.access.visibility.viewer(view, requester.user_id),
            requester.device_id,
        )
        return (await self.history.serializer.client_events(view, [event], audience))[0]

    async def _invited(self, requester: Requester, room_id: RoomId) -> bytes:
        invite = await self._invitation(requester, room_id)
        known = b"" if invite is None else b',"invite":' + invite
        return b'{"room_id":%b,"membership":"invite"%b}' % (
            orjson.dumps(room_id),
            known,
        )

    async def _synced(
        self,
        user_id: UserId,
        since: StreamToken | None,
        wanted: Filter,
        timeout_s: float = 0,
    ) -> Mapping[str, Any]:
        # Without a device: nothing counts as delivered to one.
        request = SyncRequest(
            user_id=user_id,
            device_id=None,
            since=since,
            filter=wanted,
            timeout_s=timeout_s,
            full_state=False,
            state_form=StateForm.START,
        )
        answer: Mapping[str, Any] = orjson.loads(await self.sync.answer(request))
        return answer


def _events_of(told: Mapping[str, Any], section: str) -> bytes:
    return orjson.dumps(told.get(section, {}).get("events", []))
