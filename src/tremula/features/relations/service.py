"""Pages of what relates to an event."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.infra.db import Reader
from tremula.infra.http import Requester
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import EventId, RoomId
from tremula.protocol.relations import HOPS_MAX
from tremula.rooms import relations_storage
from tremula.rooms.access import RoomAccess
from tremula.rooms.aggregations import IgnoredUsers
from tremula.rooms.event_store import END_POS, EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.places import Places
from tremula.rooms.relations_storage import RelatedRequest
from tremula.rooms.serialize import Audience, Serializer
from tremula.rooms.tokens import format_place
from tremula.rooms.view import RoomView

LIMIT_DEFAULT: Final = 50
LIMIT_MAX: Final = 500

# How often one request reads on, at most, while nothing of what it reads may be shown;
# the next one goes on where it stopped.
_READS_MAX: Final = 10

Span = tuple[int, int]
"""The first and the last of some positions of a room."""


class RelationsRequest(Struct, frozen=True, kw_only=True):
    """What CS getRelatingEvents asks for; ``start`` and ``stop`` are its tokens.

    ``""`` are all types. With ``recurse`` the children of children come along.
    """

    event_id: EventId
    rel_type: str = ""
    event_type: str = ""
    backwards: bool = True
    recurse: bool = False
    start: str | None = None
    stop: str | None = None
    limit: int = LIMIT_DEFAULT

    @property
    def depth(self) -> int:
        """How many relations may lead from the parent to an event."""
        return HOPS_MAX if self.recurse else 1


class RelationsPage(Struct, frozen=True):
    """Events in the order asked for; ``next_batch`` is None at the end."""

    chunk: Sequence[bytes]
    next_batch: str | None


class Relations(Struct, frozen=True):
    """Shows what relates to what, to those who may see it and do not ignore it."""

    db: Reader
    access: RoomAccess
    events: EventStore
    serializer: Serializer
    places: Places
    ignored: IgnoredUsers

    async def page(
        self, requester: Requester, room_id: RoomId, request: RelationsRequest
    ) -> RelationsPage:
        """A page of what relates to an event.

        Raises:
            NotFound: there is no such event, or the requester may not see it.
            InvalidParam: a token is not one of this server.
        """
        view = await self.access.reader.get_room(room_id)
        if request.start and await self.places.was_ahead(view, request.start):
            view = await self.access.reader.get_room(room_id)
        parent = await self.events.get(view.nid, request.event_id)
        viewer = await self.access.visibility.viewer(view, requester.user_id)
        if not viewer.can_see(parent):
            raise NotFound("Event not found.")
        wanted = RelatedRequest(
            room_nid=view.nid,
            parent_id=request.event_id,
            rel_type=request.rel_type,
            event_type=request.event_type,
            depth_max=request.depth,
            span=await self._span(view, request),
        )
        ignored = await self.ignored.ignored_users(requester.user_id)

        def is_shown(event: StoredEvent) -> bool:
            is_ignored = event.sender in ignored and not event.is_state
            return viewer.can_see(event) and not is_ignored

        found, place = await self._read(wanted, request, is_shown)
        audience = Audience(viewer, requester.device_id)
        return RelationsPage(
            await self.serializer.client_events(view, found, audience),
            None if place is None else format_place(place),
        )

    async def _span(self, view: RoomView, request: RelationsRequest) -> Span:
        """The positions asked for. A place is just after the one that it names."""
        start, stop = [
            await self.places.parse(view, raw) if raw else None
            for raw in (request.start, request.stop)
        ]
        after, up_to = (stop, start) if request.backwards else (start, stop)
        first = -END_POS if after is None else after + 1
        return first, view.room_pos if up_to is None else min(up_to, view.room_pos)

    async def _read(
        self,
        wanted: RelatedRequest,
        request: RelationsRequest,
        is_shown: Callable[[StoredEvent], bool],
    ) -> tuple[list[StoredEvent], int | None]:
        """What is to be shown, and the place where there may be more."""
        found: list[StoredEvent] = []
        limit, backwards, span = request.limit, request.backwards, wanted.span
        for _ in range(_READS_MAX):
            # One more than wanted tells whether there are more.
            nids = await relations_storage.related(
                self.db,
                replace(wanted, span=span),
                backwards=backwards,
                limit=limit + 1,
            )
            read = await self.events.by_nids(nids)
            for event in (read[nid] for nid in nids):
                if len(found) == limit:
                    return found, _place(span, backwards=backwards)
                span = _rest(span, event.room_pos, backwards=backwards)
                if is_shown(event):
                    found.append(event)
            if len(nids) <= limit:
                return found, None
        return found, _place(span, backwards=backwards)


def _rest(span: Span, read_pos: int, *, backwards: bool) -> Span:
    first, last = span
    return (first, read_pos - 1) if backwards else (read_pos + 1, last)


def _place(span: Span, *, backwards: bool) -> int:
    """The place where *span* begins."""
    first, last = span
    return last if backwards else first - 1
