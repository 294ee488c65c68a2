"""One room's entry in the sections ``join`` and ``leave`` of `/sync`."""

from collections.abc import Mapping, Sequence

import orjson
from msgspec import Struct

from tremula.features.sync.event_shapes import EventShapes
from tremula.features.sync.parts import RoomSection, SyncContext
from tremula.features.sync.request import StateForm
from tremula.features.sync.shared_entries import SharedEntries
from tremula.features.sync.state_section import StateRequest, StateSections
from tremula.features.sync.summary import Summaries
from tremula.features.sync.timeline import Timeline, Timelines, Window
from tremula.rooms.events import StoredEvent
from tremula.rooms.serialize import Audience
from tremula.rooms.tokens import format_place
from tremula.rooms.view import RoomView
from tremula.rooms.visibility import Visibility

SectionEvents = Mapping[RoomSection, Sequence[bytes]]


class EntryRequest(Struct, frozen=True):
    """What a room's entry is to hold.

    ``since`` 0 shows the room as new to the client. ``end_pos`` is where a user who
    left stopped seeing. ``parts`` are the events of other features. Of a room that
    ``was_read`` there is an entry, be there nothing else in it.
    """

    since: int
    end_pos: int
    state_form: StateForm
    parts: SectionEvents
    was_read: bool = False


class RoomEntries(Struct, frozen=True):
    """Builds entries."""

    timelines: Timelines
    state_sections: StateSections
    summaries: Summaries
    shapes: EventShapes
    visibility: Visibility
    shared: SharedEntries

    async def joined(
        self, ctx: SyncContext, view: RoomView, request: EntryRequest
    ) -> bytes | None:
        """The entry of a room that the user is joined to; None without any news."""
        if not request.parts:
            shared = self.shared.find(ctx, view, request.since, request.state_form)
            if shared is not None:
                return shared
        window = Window(request.since, ctx.now, request.end_pos)
        timeline = await self.timelines.read(ctx, view, window)
        summary = {}
        if not request.since or ctx.full_state or timeline.changes_summary:
            summary = self.summaries.of(view, ctx.user_id)
        state = await self.state_sections.read(
            ctx,
            view,
            timeline,
            StateRequest(
                window=window,
                whole=not request.since or ctx.full_state,
                after=request.state_form.is_after,
                heroes=summary.get("m.heroes", ()),
            ),
        )
        has_events = timeline.events or state or request.parts
        if request.since and not (has_events or request.was_read):
            return None
        entry = await self._entry(ctx, view, timeline, state, request)
        ephemeral = request.parts.get(RoomSection.EPHEMERAL, ())
        ephemeral = ephemeral[: ctx.filter.room.ephemeral.limit]
        entry.append(_section(b"ephemeral", ephemeral))
        if summary:
            entry.append(b'"summary":' + orjson.dumps(summary))
        joined = b"{" + b",".join(entry) + b"}"
        if request.since and not (state or summary or request.parts):
            self.shared.offer(
                ctx, view, request.state_form, timeline, joined, since=request.since
            )
        return joined

    async def left(
        self,
        ctx: SyncContext,
        view: RoomView,
        request: EntryRequest,
        *,
        has_state: bool,
        own_nid: int,
    ) -> bytes:
        """The entry of a room that the user is no longer in.

        Without state for someone who never was. Where nothing else is shown, of a
        refused invite say, there is *own_nid*, if not 0: the user's own leaving, of
        which clients learn from the event alone.
        """
        window = Window(request.since, ctx.now, request.end_pos)
        timeline = await self.timelines.read(ctx, view, window)
        if own_nid and not timeline.events:
            timeline = await self.timelines.with_one(ctx, view, timeline, own_nid)
        events: Sequence[StoredEvent] = ()
        if has_state:
            events = await self.state_sections.read(
                ctx,
                view,
                timeline,
                StateRequest(
                    window=window,
                    whole=not request.since or ctx.full_state,
                    after=request.state_form.is_after,
                    heroes=(),
                ),
            )
        entry = await self._entry(ctx, view, timeline, events, request)
        return b"{" + b",".join(entry) + b"}"

    async def _entry(
        self,
        ctx: SyncContext,
        view: RoomView,
        timeline: Timeline,
        state: Sequence[StoredEvent],
        request: EntryRequest,
    ) -> list[bytes]:
        # "`GET /sync` when the relevant section has a `limited` value of `true`": else
        # the client is shown, or was, all that relates to an event.
        audience = Audience(
            timeline.viewer, ctx.device_id, wants_relations=timeline.limited
        )
        encode = self.shapes.encode
        shown = await encode(ctx.filter, view, timeline.events, audience)
        return [
            b'"timeline":{"events":[%b],"limited":%b,"prev_batch":"%b"}'
            % (
                b",".join(shown),
                b"true" if timeline.limited else b"false",
                format_place(timeline.start_pos - 1).encode(),
            ),
            _section(
                request.state_form.encode(),
                await encode(ctx.filter, view, state, audience),
            ),
            _section(b"account_data", request.parts.get(RoomSection.ACCOUNT_DATA, ())),
        ]


def _section(key: bytes, events: Sequence[bytes]) -> bytes:
    return b'"%b":{"events":[%b]}' % (key, b",".join(events))
