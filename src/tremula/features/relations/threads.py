"""Pages of the threads of a room (CS "Querying threads in a room")."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.features.relations.service import RelationsPage
from tremula.infra.db import Reader
from tremula.infra.http import Requester
from tremula.protocol.identifiers import RoomId
from tremula.protocol.redaction import redact_client_event
from tremula.rooms import relations_storage
from tremula.rooms.access import Access, RoomAccess
from tremula.rooms.aggregations import IgnoredUsers, Thread
from tremula.rooms.event_store import END_POS, EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.relations_storage import Activity
from tremula.rooms.serialize import Audience, Serializer
from tremula.rooms.tokens import format_place, parse_place
from tremula.rooms.view import RoomView
from tremula.rooms.visibility import Viewer

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100

# How much one request reads, at most, while it looks for threads to show; the next one
# goes on where it stopped.
_READS_MAX: Final = 20
_ACTIVITIES_PER_READ: Final = 100


class ThreadsRequest(Struct, frozen=True, kw_only=True):
    """What CS getThreadRoots asks for; ``start`` is its token.

    Those that the user ``participated`` in, or else all.
    """

    participated: bool = False
    start: str | None = None
    limit: int = LIMIT_DEFAULT


class Threads(Struct, frozen=True):
    """Lists the threads of rooms, those with the newest events first."""

    db: Reader
    access: RoomAccess
    events: EventStore
    serializer: Serializer
    ignored: IgnoredUsers

    async def page(
        self, requester: Requester, room_id: RoomId, request: ThreadsRequest
    ) -> RelationsPage:
        """The roots of threads, as far as the requester may see them.

        Raises:
            Forbidden: the requester may not read the room.
            InvalidParam: a token is not one of this server.
        """
        access = await self.access.reading(requester.user_id, room_id)
        view = access.view
        viewer = await self.access.visibility.viewer(view, requester.user_id)
        found, place = await self._read(access, viewer, request)
        ignored = await self.ignored.ignored_users(requester.user_id)
        roots = [
            _redacted(view, root) if root.sender in ignored else root for root in found
        ]
        audience = Audience(viewer, requester.device_id)
        return RelationsPage(
            await self.serializer.client_events(view, roots, audience),
            None if place is None else format_place(place),
        )

    async def _read(
        self, access: Access, viewer: Viewer, request: ThreadsRequest
    ) -> tuple[list[StoredEvent], int | None]:
        """Roots, and the place from which on there may be more."""
        found: list[StoredEvent] = []
        at = access.up_to
        if request.start is not None:
            at = min(at, parse_place(request.start))
        for _ in range(_READS_MAX):
            activities = await self._activities(access, at)
            roots, threads = await self._threads(access.view, activities, viewer)
            for activity in activities:
                if len(found) == request.limit:
                    return found, at
                at = activity.room_pos - 1
                thread = threads.get(activity.root_nid)
                # Others spoke in the thread before, or are ignored.
                if thread is None or thread.newest.room_pos != activity.room_pos:
                    continue
                if thread.participated or not request.participated:
                    found.append(roots[activity.root_nid])
            if len(activities) < _ACTIVITIES_PER_READ:
                return found, None
        return found, at

    async def _activities(self, access: Access, before: int) -> list[Activity]:
        limit = _ACTIVITIES_PER_READ
        nid = access.view.nid
        if access.is_current:
            return await relations_storage.activity_before(
                self.db, nid, before=before, limit=limit
            )
        span = (-END_POS, access.up_to)
        return await relations_storage.activity_within(
            self.db, nid, span=span, before=before, limit=limit
        )

    async def _threads(
        self, view: RoomView, activities: Sequence[Activity], viewer: Viewer
    ) -> tuple[Mapping[int, StoredEvent], Mapping[int, Thread]]:
        """The roots that *viewer* may see, and the threads, by the roots' numbers."""
        read = await self.events.by_nids({each.root_nid for each in activities})
        roots = {nid: root for nid, root in read.items() if viewer.can_see(root)}
        found = await self.serializer.aggregations.of(
            view.nid, list(roots.values()), viewer
        )
        threads = {nid: each.thread for nid, each in found.items() if each.thread}
        return roots, threads


def _redacted(view: RoomView, root: StoredEvent) -> StoredEvent:
    """What is shown of the root of an ignored user."""
    client_json = redact_client_event(view.version, root.client_json)
    return replace(root, client_json=client_json, _content=None)
