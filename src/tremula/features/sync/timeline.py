"""The timeline of one room in `/sync`."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.features.sync.parts import SyncContext
from tremula.infra.journal import Journal
from tremula.protocol.filters import RoomEventFilter
from tremula.rooms.event_store import END_POS, EventStore
from tremula.rooms.events import NOWHERE_POS, PersistedEvent, StoredEvent
from tremula.rooms.room import EVENT_TOPIC
from tremula.rooms.view import RoomView
from tremula.rooms.visibility import Viewer, Visibility

LIMIT_DEFAULT: Final = 10
LIMIT_MAX: Final = 1_000
_PAGE: Final = 100
_PAGES_MAX: Final = 20

_SUMMARY_TYPES: Final = ("m.room.member", "m.room.name", "m.room.canonical_alias")


class Window(Struct, frozen=True):
    """What a timeline may show: events after journal position ``since`` (0: all),
    up to ``now``, and in the room up to ``end_pos``.
    """

    since: int
    now: int
    end_pos: int


class Timeline(Struct, frozen=True):
    """The events to show, oldest first.

    ``start_pos`` is the place of the first one; state before it belongs to the state
    section. ``state_events`` are all those of the window, shown or not, from
    ``start_pos`` on at least; from the window's start if it ``has_whole_window``.
    Unless ``is_linear``, the state may have changed otherwise than by them: where the
    room had forked, state resolution may prefer, or bring back, another event.
    """

    events: Sequence[StoredEvent]
    viewer: Viewer
    limited: bool
    start_pos: int
    state_events: Sequence[StoredEvent]
    has_whole_window: bool
    is_linear: bool

    @property
    def shows_all_changes(self) -> bool:
        """Whether ``state_events`` are all that changed the state in the window."""
        return self.has_whole_window and self.is_linear

    @property
    def has_state(self) -> bool:
        """Whether the state changed in the window, or may have."""
        return bool(self.state_events) or not self.shows_all_changes

    @property
    def changes_summary(self) -> bool:
        """Whether something that the summary is made of is in the window, or may be."""
        return not self.shows_all_changes or any(
            event.type in _SUMMARY_TYPES for event in self.state_events
        )


class Timelines(Struct, frozen=True):
    """Reads timelines: from the journal's tail if it reaches back, else the store."""

    journal: Journal
    events: EventStore
    visibility: Visibility

    async def read(self, ctx: SyncContext, view: RoomView, window: Window) -> Timeline:
        """The newest events of *window* that the user may see and wants to see.

        From the tail it costs no query, however many users read it.
        """
        limit = timeline_limit(ctx.filter.room.timeline)
        recent = await self._recent(view, window, limit)
        if recent is not None:
            viewer = await self._viewer(ctx, view, recent.events)
            shown = _shown(ctx, view, viewer, recent.events)
            if recent.whole or len(shown) > limit:
                return _timeline(viewer, window, replace(recent, shown=shown), limit)
        return await self._stored(ctx, view, window, limit)

    async def with_one(
        self, ctx: SyncContext, view: RoomView, timeline: Timeline, event_nid: int
    ) -> Timeline:
        """*timeline*, which is empty, with one event, whoever may see it: if it is
        there and the filter admits it.
        """
        found = await self.events.by_nids([event_nid])
        events = _wanted(ctx, view, list(found.values()))
        if not events:
            return timeline
        return replace(timeline, events=events, start_pos=events[0].room_pos)

    async def _recent(
        self, view: RoomView, window: Window, limit: int
    ) -> "_Read | None":
        if not window.since:
            return await self._newest(view, window, limit + 1)
        tail = self.journal.tail(EVENT_TOPIC, view.nid, window.since)
        if tail is None:
            return None
        payloads = [payload for pos, payload in tail if pos <= window.now]
        return await self._remembered(_in_window(payloads, view, window), whole=True)

    async def _newest(
        self, view: RoomView, window: Window, count: int
    ) -> "_Read | None":
        """The newest *count* events, if memory has them: most of a room that is new to
        the client was not sent lately.
        """
        payloads = self.journal.newest(EVENT_TOPIC, view.nid, count, up_to=window.now)
        newest = _in_window(payloads, view, window)
        if len(newest) < count:
            return None
        return await self._remembered(newest, whole=False)

    async def _remembered(
        self, recent: Sequence[PersistedEvent], *, whole: bool
    ) -> "_Read":
        nids = [payload.stored.event_nid for payload in recent]
        # Not the tail's own objects: the store's are up to date after redactions, and
        # where completing a room's state has taken events out of its timeline.
        found = await self.events.by_nids(nids)
        is_linear = not any(payload.changes_other_state for payload in recent)
        stored = map(found.__getitem__, nids)
        events = [event for event in stored if event.room_pos != NOWHERE_POS]
        return _Read(events, (), whole=whole, is_linear=is_linear)

    async def _stored(
        self, ctx: SyncContext, view: RoomView, window: Window, limit: int
    ) -> Timeline:
        viewer = await self.visibility.viewer(view, ctx.user_id)
        read: list[StoredEvent] = []
        shown: list[StoredEvent] = []
        before, whole = window.end_pos + 1, False
        page_size = min(limit + 1, _PAGE)
        for _ in range(_PAGES_MAX):
            page = await self.events.backwards(
                view.nid,
                before=before,
                # Back-filled history has new journal positions, but is not news.
                after=0 if window.since else -END_POS,
                limit=page_size,
            )
            fresh = [e for e in page if window.since < e.journal_pos <= window.now]
            read += fresh
            shown += _shown(ctx, view, viewer, fresh)
            whole = len(page) < page_size or page[-1].journal_pos <= window.since
            if whole or len(shown) > limit:
                break
            before = page[-1].room_pos
        # What else there may be, only a query tells.
        everything = _Read(read[::-1], shown[::-1], whole, is_linear=False)
        return _timeline(viewer, window, everything, limit)

    async def _viewer(
        self, ctx: SyncContext, view: RoomView, events: Sequence[StoredEvent]
    ) -> Viewer:
        oldest = events[0].room_pos if events else view.room_pos + 1
        return await self.visibility.viewer(view, ctx.user_id, oldest_pos=oldest)


class _Read(Struct, frozen=True):
    """Events of a window, and those of them that may be shown, both oldest first.

    All of the window if it is ``whole``, else the newest ones.
    """

    events: Sequence[StoredEvent]
    shown: Sequence[StoredEvent]
    whole: bool
    is_linear: bool


def _in_window(
    payloads: Iterable[object], view: RoomView, window: Window
) -> list[PersistedEvent]:
    """Those of *payloads*, announced up to ``window.now``, that the window reaches."""
    events = [each for each in payloads if isinstance(each, PersistedEvent)]
    if window.end_pos >= view.room_pos:
        return events
    return [each for each in events if each.stored.room_pos <= window.end_pos]


def _timeline(viewer: Viewer, window: Window, read: _Read, limit: int) -> Timeline:
    state_events = [event for event in read.events if event.state_key is not None]
    # The state must not change unseen between two events of a timeline: it starts
    # after what was set while the user was away.
    unseen_pos = max(
        (e.room_pos for e in state_events if not viewer.can_see(e)), default=None
    )
    shown = read.shown
    if unseen_pos is not None:
        shown = [event for event in shown if event.room_pos > unseen_pos]
    shown = shown[-limit:]
    return Timeline(
        events=shown,
        viewer=viewer,
        limited=len(shown) < len(read.shown) or not read.whole,
        start_pos=shown[0].room_pos if shown else window.end_pos + 1,
        state_events=state_events,
        has_whole_window=read.whole,
        is_linear=read.is_linear,
    )


def timeline_limit(events: RoomEventFilter) -> int:
    """How many events a filter lets a timeline have."""
    return min(events.limit or LIMIT_DEFAULT, LIMIT_MAX)


def _shown(
    ctx: SyncContext, view: RoomView, viewer: Viewer, events: Sequence[StoredEvent]
) -> list[StoredEvent]:
    return _wanted(ctx, view, viewer.visible(events))


def _wanted(
    ctx: SyncContext, view: RoomView, events: list[StoredEvent]
) -> list[StoredEvent]:
    wanted = ctx.filter.room.timeline
    if not wanted.rooms.admits(view.room_id):
        return []
    if ctx.ignored_users:
        ignored = ctx.ignored_users
        events = [e for e in events if e.is_state or e.sender not in ignored]
    if wanted.admits_all:
        return events
    return [e for e in events if wanted.admits(e.type, e.sender, e.content)]
