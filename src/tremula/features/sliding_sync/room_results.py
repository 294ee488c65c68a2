"""What an answer says of a room that the user is in (MSC4186, ``RoomResult``)."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from tremula.features.sliding_sync.connection_state import SentRoom
from tremula.features.sliding_sync.parts import Unread
from tremula.features.sliding_sync.required_state import RoomConfig
from tremula.features.sync.lazy_members import DeviceRoom, LazyMembers
from tremula.features.sync.parts import SyncContext
from tremula.features.sync.summary import Summaries
from tremula.features.sync.timeline import Timeline, Timelines, Window
from tremula.protocol.filters import EventFilter, Filter, RoomEventFilter, RoomFilter
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.room_state import StateKey, member_key
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.reader import RoomReader
from tremula.rooms.serialize import Audience, Serializer, room_id_member
from tremula.rooms.state import MEMBER, StateEvent
from tremula.rooms.summary import text_in
from tremula.rooms.tokens import format_place
from tremula.rooms.view import RoomView

_REDACTION = "m.room.redaction"
_NAME: StateKey = ("m.room.name", "")
_AVATAR: StateKey = ("m.room.avatar", "")


class RoomRequest(Struct, frozen=True):
    """What is wanted of a room of which the client lacks what came after ``since``; all
    if that is 0.

    ``known`` is what it was sent, and ``pos`` what it comes with on its connection,
    which is ``lazy_device`` to `LazyMembers`. With ``was_read`` there are new counts.
    """

    config: RoomConfig
    since: int
    pos: int
    known: SentRoom | None
    is_dm: bool
    bump_pos: int
    unread: Unread | None
    was_read: bool
    lazy_device: DeviceId

    @property
    def is_initial(self) -> bool:
        """Whether the client begins anew with this room."""
        return not self.since

    @property
    def has_longer_timeline(self) -> bool:
        """Whether more of the timeline is wanted than the client was sent."""
        return (
            bool(self.since)
            and self.known is not None
            and self.config.timeline_limit > self.known.config.timeline_limit
        )


class RoomResult(Struct, frozen=True):
    """A room as JSON, empty if there is no news in it; the timeline in it, and what the
    client has of the room now. Of what ``is_over`` it is told no more.
    """

    json: bytes
    timeline: Sequence[StoredEvent]
    config: RoomConfig
    is_over: bool = False


class _Shown(Struct, frozen=True):
    """``news`` is the timeline after what the client has, ``timeline`` what it gets."""

    news: Timeline
    timeline: Timeline
    events: Sequence[StoredEvent]
    start_pos: int
    limited: bool


class JoinedRoomResults(Struct, frozen=True):
    """Builds them. From memory for a room that is in use."""

    timelines: Timelines
    reader: RoomReader
    events: EventStore
    serializer: Serializer
    summaries: Summaries
    lazy_members: LazyMembers

    async def build(
        self, ctx: SyncContext, view: RoomView, request: RoomRequest
    ) -> RoomResult:
        """The room's result."""
        shown = await self._shown(ctx, view, request)
        changed = await self._changed(view, shown.news, request)
        state = self._state(ctx, view, request, shown, changed)
        is_new = request.is_initial or request.has_longer_timeline
        is_dm_changed = request.known is not None and (
            request.known.is_dm is not request.is_dm
        )
        config = request.config
        if request.known is not None and not is_new:
            config = config.kept(
                request.known.config, changed, has_gap=shown.news.limited
            )
        is_changed = is_dm_changed or request.was_read
        if not (is_new or shown.events or shown.limited or state or is_changed):
            return RoomResult(b"", (), config)
        found = await self.events.by_nids(event.event_nid for event in state)
        state_events = [
            found[event.event_nid] for event in state if event.event_nid in found
        ]
        fields = await self._fields(ctx, view, request, shown.news, changed)
        fields |= _timeline_fields(shown, request)
        encoded = await self.serializer.client_events(
            view,
            [*state_events, *shown.events],
            Audience(shown.timeline.viewer, ctx.device_id),
            leave_out=room_id_member(view.room_id),
        )
        return RoomResult(
            room_json(
                fields, encoded[: len(state_events)], encoded[len(state_events) :]
            ),
            shown.events,
            config,
        )

    async def _shown(
        self, ctx: SyncContext, view: RoomView, request: RoomRequest
    ) -> _Shown:
        limit = request.config.timeline_limit
        limited_ctx = with_limit(ctx, limit)
        window = Window(request.since, ctx.now, view.room_pos)
        news = timeline = await self.timelines.read(limited_ctx, view, window)
        if request.has_longer_timeline:
            timeline = await self.timelines.read(
                limited_ctx, view, replace(window, since=0)
            )
        if limit:
            return _Shown(
                news, timeline, timeline.events, timeline.start_pos, timeline.limited
            )
        has_more = timeline.limited or bool(timeline.events)
        return _Shown(news, timeline, (), window.end_pos + 1, has_more)

    async def _changed(
        self, view: RoomView, news: Timeline, request: RoomRequest
    ) -> Sequence[StateKey]:
        """The keys of which the client lacks the newest event; not on first sight."""
        if request.is_initial:
            return ()
        if news.shows_all_changes:
            return [(e.type, e.state_key or "") for e in news.state_events]
        changes = await self.reader.state_changes(
            view, since_nid=request.since, before_pos=view.room_pos + 1
        )
        return list(changes)

    def _state(
        self,
        ctx: SyncContext,
        view: RoomView,
        request: RoomRequest,
        shown: _Shown,
        changed: Iterable[StateKey],
    ) -> list[StateEvent]:
        required = request.config.required
        state: dict[StateKey, StateEvent] = {}
        if request.is_initial:
            state = required.select(view)
        elif request.known is not None:
            known = request.known.config.required
            if not known.covers(required):
                state = {
                    key: event
                    for key, event in required.select(view).items()
                    if not known.admits(key)
                }
        # Whoever has no gap keeps the members that were sent up to date.
        has_members = required.lazy_members and not shown.news.limited
        for key in changed:
            event_now = view.state.get(key)
            if event_now is not None and (
                required.admits(key) or (has_members and key[0] == MEMBER)
            ):
                state[key] = event_now
        if required.lazy_members:
            self._add_members(ctx, view, request, shown, state)
        return list(state.values())

    def _add_members(
        self,
        ctx: SyncContext,
        view: RoomView,
        request: RoomRequest,
        shown: _Shown,
        state: dict[StateKey, StateEvent],
    ) -> None:
        """Whoever is in the timeline, and was not sent yet."""
        room = DeviceRoom(ctx.user_id, request.lazy_device, view.nid)
        if request.is_initial:
            self.lazy_members.forget(room)
        wanted: dict[str, int] = {}
        for user_id in users_in(shown.events):
            member = view.state.get(member_key(user_id))
            if member is not None:
                wanted[user_id] = member.event_nid
        for lacked in self.lazy_members.without_sent(room, wanted, since=request.pos):
            member = view.state.get((MEMBER, lacked))
            assert member is not None, "nothing was awaited"
            state[MEMBER, lacked] = member
        sent = {k[1]: e.event_nid for k, e in state.items() if k[0] == MEMBER}
        self.lazy_members.record(room, sent, now=ctx.now)

    async def _fields(
        self,
        ctx: SyncContext,
        view: RoomView,
        request: RoomRequest,
        news: Timeline,
        changed: Sequence[StateKey],
    ) -> dict[str, Any]:
        fields: dict[str, Any] = {"bump_stamp": request.bump_pos}
        is_initial = request.is_initial
        # A redaction changes what state says, be it in the gap.
        may_differ = news.limited or any(e.type == _REDACTION for e in news.events)
        name = text_in(view, "m.room.name", "name") or None
        avatar = text_in(view, "m.room.avatar", "url") or None
        for field, key, value in (("name", _NAME, name), ("avatar", _AVATAR, avatar)):
            if is_initial and value is None:
                continue
            if is_initial or may_differ or key in changed:
                fields[field] = value
        is_dm_known = request.known is not None and request.known.is_dm
        if request.is_dm if is_initial else request.is_dm is not is_dm_known:
            fields["is_dm"] = request.is_dm
        if is_initial:
            fields["initial"] = True
        if is_initial or news.changes_summary:
            if view.partial is None:
                fields["joined_count"] = view.joined_count
                fields["invited_count"] = view.invited_count
            heroes = self.summaries.heroes(view, ctx.user_id)
            if heroes:
                fields["heroes"] = await self._heroes(view, heroes)
        unread = request.unread
        fields["notification_count"] = unread.notifications if unread else 0
        fields["highlight_count"] = unread.highlights if unread else 0
        return fields

    async def _heroes(
        self, view: RoomView, heroes: Sequence[UserId]
    ) -> list[dict[str, str]]:
        members = [view.state.get(member_key(user_id)) for user_id in heroes]
        nids = {member.state_key: member.event_nid for member in members if member}
        found = await self.events.by_nids(nids.values())
        return [_hero(user_id, found.get(nids.get(user_id, 0))) for user_id in heroes]


def users_in(events: Iterable[StoredEvent]) -> set[UserId]:
    """Whom a client has to know to show a timeline: senders, and whom it is about."""
    users = {event.sender for event in events}
    users.update(
        UserId(e.state_key) for e in events if e.type == MEMBER and e.state_key
    )
    return users


def room_json(
    fields: Mapping[str, Any], state: Sequence[bytes], timeline: Sequence[bytes]
) -> bytes:
    """A room of an answer."""
    return b'%b,"required_state":[%b],"timeline":[%b]}' % (
        orjson.dumps(fields)[:-1],
        b",".join(state),
        b",".join(timeline),
    )


def with_limit(ctx: SyncContext, timeline_limit: int) -> SyncContext:
    """*ctx* for a timeline of so many events (one, where none are wanted)."""
    return replace(ctx, filter=_filter(max(timeline_limit, 1)))


@lru_cache(maxsize=128)
def _filter(timeline_limit: int) -> Filter:
    timeline = RoomEventFilter(EventFilter(limit=timeline_limit))
    return Filter(room=RoomFilter(timeline=timeline))


def _timeline_fields(shown: _Shown, request: RoomRequest) -> dict[str, Any]:
    live = 0
    # Without a position there was nothing before that could be past.
    if request.pos:
        live = sum(event.journal_pos > request.pos for event in shown.events)
    fields: dict[str, Any] = {
        "prev_batch": format_place(shown.start_pos - 1),
        "limited": shown.limited,
        "num_live": live,
    }
    if request.has_longer_timeline:
        fields["expanded_timeline"] = fields["unstable_expanded_timeline"] = True
        # COMPAT(matrix-js-sdk, 37.5): only then it looks for events that come before
        # those that it has.
        fields["limited"] = True
    return fields


def _hero(user_id: UserId, member: StoredEvent | None) -> dict[str, str]:
    hero = {"user_id": str(user_id)}
    for key in ("displayname", "avatar_url"):
        value = None if member is None else member.content.get(key)
        if isinstance(value, str):
            hero[key] = value
    return hero
