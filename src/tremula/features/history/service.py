"""The events of a room, read page by page or around one of them."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from tremula.features.history.elsewhere import Elsewhere, Wanted
from tremula.features.history.filling import FILLS_MAX, GapFilling
from tremula.features.history.reading import Found, Span, read_span
from tremula.infra.http import Requester
from tremula.protocol.errors import NotFound
from tremula.protocol.filters import RoomEventFilter
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.rooms.access import Access, RoomAccess
from tremula.rooms.aggregations import IgnoredUsers
from tremula.rooms.event_store import END_POS, EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.peers import EventAt
from tremula.rooms.places import Places
from tremula.rooms.serialize import Audience, Serializer
from tremula.rooms.state import MEMBER
from tremula.rooms.tokens import format_place
from tremula.rooms.view import RoomView
from tremula.rooms.visibility import Viewer

LIMIT_DEFAULT: Final = 10
LIMIT_MAX: Final = 1000
# Rows a query where a filter leaves most of them out.
_FILTERED_BATCH: Final = 200


class PageRequest(Struct, frozen=True, kw_only=True):
    """What CS getRoomEvents asks for; ``start`` and ``stop`` are its tokens."""

    backwards: bool
    start: str | None = None
    stop: str | None = None
    limit: int = LIMIT_DEFAULT
    filter: RoomEventFilter = field(default_factory=RoomEventFilter)


class Page(Struct, frozen=True):
    """Events in the order asked for, and tokens; ``end`` is None at the end.

    The oldest events of a room have one, too: only the empty page behind them has not.
    """

    chunk: Sequence[bytes]
    state: Sequence[bytes]
    start: str
    end: str | None


class Context(Struct, frozen=True):
    """The surroundings of an event; ``before`` is newest first."""

    event: bytes
    before: Sequence[bytes]
    after: Sequence[bytes]
    state: Sequence[bytes]
    start: str
    end: str


class History(Struct, frozen=True):
    """Shows the events of rooms to those who may see them, event by event.

    Messages of users whom they ignore only if they ask for one by its ID.
    """

    access: RoomAccess
    events: EventStore
    serializer: Serializer
    places: Places
    gaps: GapFilling
    elsewhere: Elsewhere
    ignored: IgnoredUsers

    async def page(
        self, requester: Requester, room_id: RoomId, request: PageRequest
    ) -> Page:
        """A page of a room's events.

        For members one range of an index is read, unless the filter or the history
        visibility hides much of it. Other servers are asked for what is missing.

        Raises:
            Forbidden: the requester may not read the room.
            InvalidParam: a token is not one of this server.
        """
        access = await self.access.reading(requester.user_id, room_id)
        if request.start and await self.places.was_ahead(access.view, request.start):
            access = await self.access.reading(requester.user_id, room_id)
        view, wanted = access.view, request.filter
        start = await self._start(access, request)
        found = Found((), start, more=False)
        if wanted.rooms.admits(view.room_id):
            span = await self._span(access, request, start)
            found = await self._read(access, requester.user_id, span, request)
        viewer = await self._viewer(access, requester.user_id)
        members = (
            await self._senders(view, found.events) if wanted.lazy_load_members else ()
        )
        audience = Audience(viewer, requester.device_id)
        return Page(
            chunk=await self.serializer.client_events(view, found.events, audience),
            state=await self.serializer.client_events(view, members, audience),
            start=request.start or format_place(start),
            end=format_place(found.place) if _may_go_on(request, found) else None,
        )

    async def _read(
        self, access: Access, user_id: UserId, span: Span, request: PageRequest
    ) -> Found:
        """What is to be shown of *span*, of which other servers may have more."""
        found = await self._read_here(access, user_id, span, request)
        for _ in range(FILLS_MAX):
            gap = await self.gaps.first_in(access.view, span)
            if gap is None:
                return found
            if len(found.events) == request.limit and found.place >= gap.pos - 1:
                break
            if not await self.gaps.fill(access.view, gap):
                # As there was something, it is worth while to try again from there.
                return replace(found, more=found.more or bool(found.events))
            found = await self._read_here(access, user_id, span, request)
        # CVE-2026-45076: that nothing could be shown of what came is no end.
        return replace(found, more=True)

    async def _read_here(
        self, access: Access, user_id: UserId, span: Span, request: PageRequest
    ) -> Found:
        wanted, view = request.filter, access.view
        while True:
            histories = view.histories
            found = await read_span(
                self.events,
                span,
                await self._accepting(await self._viewer(access, user_id), wanted),
                limit=request.limit,
                batch=0 if wanted.admits_all else _FILTERED_BATCH,
            )
            if view.histories is histories:
                return found
            # The past was filled in meanwhile: what came is not for all who come later.

    async def _start(self, access: Access, request: PageRequest) -> int:
        if request.start is not None:
            start = await self.places.parse(access.view, request.start)
            return min(start, access.up_to)
        if request.backwards:
            return access.up_to
        oldest = await self.events.forwards(access.view.nid, limit=1)
        return oldest[0].room_pos - 1

    async def _span(self, access: Access, request: PageRequest, start: int) -> Span:
        nid, stop = access.view.nid, request.stop
        stop_pos = await self.places.parse(access.view, stop) if stop else None
        if request.backwards:
            bound = -END_POS if stop_pos is None else stop_pos
            return Span(nid, start + 1, bound, backwards=True)
        bound = access.up_to if stop_pos is None else min(stop_pos, access.up_to)
        return Span(nid, start, bound + 1, backwards=False)

    async def event(
        self, requester: Requester, room_id: RoomId, event_id: EventId
    ) -> bytes:
        """One event.

        Raises:
            NotFound: there is none, or the requester may not see it.
        """
        view = await self.access.reader.get_room(room_id)
        event = await self.events.get(view.nid, event_id)
        viewer = await self._visible_to(view, requester.user_id, event)
        audience = Audience(viewer, requester.device_id)
        return (await self.serializer.client_events(view, [event], audience))[0]

    async def context(
        self,
        requester: Requester,
        room_id: RoomId,
        event_id: EventId,
        wanted: RoomEventFilter,
        *,
        limit: int,
    ) -> Context:
        """An event, *limit* events around it and the state at the last of them.

        Raises:
            Forbidden: the requester may not read the room.
            NotFound: there is no such event, or the requester may not see it.
        """
        access = await self.access.reading(requester.user_id, room_id)
        view = access.view
        event = await self.events.get(view.nid, event_id)
        viewer = await self._visible_to(view, requester.user_id, event)
        accept, pos = await self._accepting(viewer, wanted), event.room_pos
        before = await read_span(
            self.events,
            Span(view.nid, pos, -END_POS, backwards=True),
            accept,
            limit=limit // 2,
        )
        after = await read_span(
            self.events,
            Span(view.nid, pos, access.up_to + 1, backwards=False),
            accept,
            limit=limit - limit // 2,
        )
        shown = [event, *before.events, *after.events]
        newest = after.events[-1] if after.events else event
        state = await self._state_at(view, wanted, shown, room_pos=newest.room_pos)
        audience = Audience(viewer, requester.device_id)
        return Context(
            event=(await self.serializer.client_events(view, [event], audience))[0],
            before=await self.serializer.client_events(view, before.events, audience),
            after=await self.serializer.client_events(view, after.events, audience),
            state=await self.serializer.client_events(view, state, audience),
            start=format_place(before.place),
            end=format_place(after.place),
        )

    async def event_at(
        self, user_id: UserId, room_id: RoomId, wanted: Wanted
    ) -> EventAt:
        """The event closest to a time in one direction that *user_id* may see.

        Other servers are asked where events are missing. Of theirs, as many are
        fetched as one request may; one that lies further back is named all the same.

        Raises:
            Forbidden: the user may not read the room.
            NotFound: there is none.
        """
        access = await self.access.reading(user_id, room_id)
        found = await self._nearest(access, user_id, wanted)
        other = None
        if access.is_current:
            other = await self.elsewhere.closer(access.view, wanted, found)
        if other is not None:
            await self.elsewhere.fetch(access.view)
            found = await self._nearest(access, user_id, wanted)
            if wanted.prefers(other, found) and access.view.is_shared:
                return other
        if found is None:
            raise NotFound(f"There is no event in the room near {wanted.ts_ms}")
        return EventAt(found.event_id, found.origin_server_ts)

    async def _nearest(
        self, access: Access, user_id: UserId, wanted: Wanted
    ) -> StoredEvent | None:
        viewer = await self._viewer(access, user_id)
        return await self.events.nearest(
            access.view.nid,
            wanted.ts_ms,
            forwards=wanted.forwards,
            span=viewer.narrow((-END_POS, access.up_to)),
            accept=viewer.can_see,
        )

    async def _state_at(
        self,
        view: RoomView,
        wanted: RoomEventFilter,
        shown: Sequence[StoredEvent],
        *,
        room_pos: int,
    ) -> list[StoredEvent]:
        nids = await self.access.reader.state_at(view, room_pos)
        if wanted.lazy_load_members:
            senders = {event.sender for event in shown}
            nids = {
                (event_type, state_key): nid
                for (event_type, state_key), nid in nids.items()
                if event_type != MEMBER or state_key in senders
            }
        found = await self.events.by_nids(nids.values())
        return [event for event in found.values() if _admits(wanted, event)]

    async def _senders(
        self, view: RoomView, events: Sequence[StoredEvent]
    ) -> Sequence[StoredEvent]:
        """The member events of the senders, as of the oldest of *events*, or of the
        newest if they came in between: that event may not be among those shown.
        """
        if not events:
            return ()
        senders = {event.sender for event in events}
        ends = sorted((events[0].room_pos, events[-1].room_pos))
        nids: dict[str, int] = {}
        for room_pos in ends:
            missing = [sender for sender in senders if sender not in nids]
            nids |= await self.access.reader.members_at(
                view, missing, room_pos=room_pos
            )
        return list((await self.events.by_nids(nids.values())).values())

    async def _accepting(
        self, viewer: Viewer, wanted: RoomEventFilter
    ) -> Callable[[StoredEvent], bool]:
        ignored = await self.ignored.ignored_users(viewer.user_id)
        if wanted.admits_all and not ignored:
            return viewer.can_see
        return lambda event: (
            viewer.can_see(event)
            and _admits(wanted, event)
            and not _is_ignored(event, ignored)
        )

    async def _viewer(self, access: Access, user_id: UserId) -> Viewer:
        return await self.access.visibility.viewer(access.view, user_id)

    async def _visible_to(
        self, view: RoomView, user_id: UserId, event: StoredEvent
    ) -> Viewer:
        """*user_id* as a viewer of *event*, which they must be allowed to see.

        Raises:
            NotFound: they are not.
        """
        viewer = await self.access.visibility.viewer(view, user_id)
        if not viewer.can_see(event):
            raise NotFound("Event not found.")
        return viewer


def _may_go_on(request: PageRequest, found: Found) -> bool:
    # COMPAT(nheko, 0.12): it throws away a page without `end`, as it expects it to be
    # empty, which other servers' are. So nobody would see how a room began.
    is_oldest = request.backwards and request.stop is None and bool(found.events)
    return found.more or is_oldest


def _admits(wanted: RoomEventFilter, event: StoredEvent) -> bool:
    content = event.content if wanted.contains_url is not None else {}
    return wanted.admits(event.type, event.sender, content)


def _is_ignored(event: StoredEvent, ignored: Collection[UserId]) -> bool:
    # "Servers must still send state events sent by ignored users to clients."
    return event.sender in ignored and not event.is_state
