"""The timeline of one room in `/sync`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tremula.features.sync.parts import SyncContext
from tremula.infra.journal import Journal
from tremula.protocol.filters import RoomEventFilter
from tremula.rooms.event_store import END_POS, EventStore
from tremula.rooms.events import PersistedEvent, StoredEvent
from tremula.rooms.room import EVENT_TOPIC
from tremula.rooms.view import RoomView
from tremula.rooms.visibility import Viewer, Visibility

LIMIT_DEFAULT: Final = 10
LIMIT_MAX: Final = 1_000
_PAGE: Final = 100
_PAGES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Window:
    """What a timeline may show: events after journal position ``since`` (0: all),
    up to ``now``, and in the room up to ``end_pos``.
    """

    since: int
    now: int
    end_pos: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The events to show, oldest first.

    ``start_pos`` is the place of the first one; state before it belongs to the state
    section. ``changed_members`` tells whether a member event is in the window, or
    may be.
    """

    events: Sequence[StoredEvent]
    viewer: Viewer
    limited: bool
    start_pos: int
    has_state: bool
    changed_members: bool


@dataclass(frozen=True, slots=True)
class Timelines:
    """Reads timelines: from the journal's tail if it reaches back, else the store."""

    journal: Journal
    events: EventStore
    visibility: Visibility

    async def read(self, ctx: SyncContext, view: RoomView, window: Window) -> Timeline:
        """The newest events of *window* that the user may see and wants to see.

        From the tail it costs no query, however many users read it.
        """
        limit = timeline_limit(ctx.filter.room.timeline)
        recent = await self._recent(view, window) if window.since else None
        if recent is None:
            return await self._stored(ctx, view, window, limit)
        viewer = await self._viewer(ctx, view, recent)
        shown = _shown(ctx, view, viewer, recent)
        limited = len(shown) > limit
        shown = shown[-limit:]
        return Timeline(
            events=shown,
            viewer=viewer,
            limited=limited,
            start_pos=shown[0].room_pos if shown else window.end_pos + 1,
            has_state=any(event.is_state for event in recent),
            changed_members=any(_is_member(event) for event in recent),
        )

    async def _recent(
        self, view: RoomView, window: Window
    ) -> Sequence[StoredEvent] | None:
        tail = self.journal.tail(EVENT_TOPIC, view.nid, window.since)
        if tail is None:
            return None
        nids = [
            payload.stored.event_nid
            for pos, payload in tail
            if isinstance(payload, PersistedEvent)
            and pos <= window.now
            and payload.stored.room_pos <= window.end_pos
        ]
        # Not the tail's own objects: the store's are up to date after redactions.
        found = await self.events.by_nids(nids)
        return [found[nid] for nid in nids]

    async def _stored(
        self, ctx: SyncContext, view: RoomView, window: Window, limit: int
    ) -> Timeline:
        viewer = await self.visibility.viewer(view, ctx.user_id)
        shown: list[StoredEvent] = []
        has_state = changed_members = False
        before, complete = window.end_pos + 1, False
        for _ in range(_PAGES_MAX):
            page = await self.events.backwards(
                view.nid,
                before=before,
                # Back-filled history has new journal positions, but is not news.
                after=0 if window.since else -END_POS,
                limit=min(limit + 1, _PAGE),
            )
            fresh = [e for e in page if window.since < e.event_nid <= window.now]
            shown += _shown(ctx, view, viewer, fresh)
            has_state = has_state or any(event.is_state for event in fresh)
            changed_members = changed_members or any(_is_member(e) for e in fresh)
            complete = not page or page[-1].event_nid <= window.since
            if complete or len(shown) > limit:
                break
            before = page[-1].room_pos
        limited = len(shown) > limit or not complete
        shown = shown[:limit][::-1]
        return Timeline(
            events=shown,
            viewer=viewer,
            limited=limited,
            start_pos=shown[0].room_pos if shown else window.end_pos + 1,
            has_state=has_state or limited,
            changed_members=changed_members or limited,
        )

    async def _viewer(
        self, ctx: SyncContext, view: RoomView, events: Sequence[StoredEvent]
    ) -> Viewer:
        oldest = events[0].room_pos if events else view.room_pos + 1
        return await self.visibility.viewer(view, ctx.user_id, oldest_pos=oldest)


def timeline_limit(events: RoomEventFilter) -> int:
    """How many events a filter lets a timeline have."""
    return min(events.limit or LIMIT_DEFAULT, LIMIT_MAX)


def _shown(
    ctx: SyncContext, view: RoomView, viewer: Viewer, events: Sequence[StoredEvent]
) -> list[StoredEvent]:
    wanted = ctx.filter.room.timeline
    if not wanted.rooms.admits(view.room_id):
        return []
    return [
        event
        for event in events
        if viewer.can_see(event)
        and (event.is_state or event.sender not in ctx.ignored_users)
        and (
            wanted.admits_all or wanted.admits(event.type, event.sender, event.content)
        )
    ]


def _is_member(event: StoredEvent) -> bool:
    return event.type == "m.room.member" and event.is_state
