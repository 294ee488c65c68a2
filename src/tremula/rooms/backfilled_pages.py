"""Puts events that are older than what is here into a room's timeline."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.events import BuiltEvent
from tremula.protocol.identifiers import EventId, ServerName
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.redaction import redact_client_event
from tremula.rooms import events_storage, graph_storage
from tremula.rooms.backfilled_histories import Earlier, read_histories
from tremula.rooms.backfilled_redactions import Redactions, read_redactions
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.graph import Standing
from tremula.rooms.history_gaps import HistoryGap
from tremula.rooms.outliers import Outliers, RoomIdentity, check_outliers
from tremula.rooms.relations import record_relation
from tremula.rooms.room import Room
from tremula.rooms.staging import announce_reread
from tremula.rooms.view import RoomView
from tremula.rooms.whole_events import nodes_of, whole_events


class FetchedPage(Struct, frozen=True):
    """Verified events before a gap, the oldest first, and what goes with them.

    ``others`` are their auth events and the like. ``earlier`` counts if they change
    the history visibility: it is that before the first change.
    """

    events: Sequence[ReceivedEvent]
    others: Mapping[EventId, ReceivedEvent]
    earlier: Earlier


class _Checked(Struct, frozen=True):
    """A page with what is to be made of it.

    ``placed`` are the events that get a place in the timeline, by their positions,
    from the oldest to the newest; ``next_missing`` what is missing before them.
    ``known`` are those of them that are here as outliers.
    """

    outliers: Outliers
    placed: Mapping[int, BuiltEvent]
    known: Mapping[int, StoredEvent]
    next_missing: frozenset[EventId]


class PageStorage(Struct, frozen=True):
    """Stores pages; nothing else may take in events of their room meanwhile.

    Their positions count down from that of the event after the gap. Nothing is
    announced: who reads that far back finds them.
    """

    events: EventStore
    journal: Journal
    own: ServerName

    async def store(self, room: Room, gap: HistoryGap, page: FetchedPage) -> bool:
        """Store a page; whether the gap is another now.

        Raises:
            Conflict: something of it was stored at the same time.
        """
        view = room.view
        checked = await self._check(view, gap, page)
        if not checked.placed and checked.next_missing == frozenset(gap.event_ids):
            return False
        [after] = await self.events.backwards(view.nid, before=gap.pos + 1, limit=1)
        redactions = await read_redactions(self.events, view, checked.placed)
        histories = await read_histories(
            self.events.db, view, after, checked.placed, page.earlier, own=self.own
        )
        unit = self.journal.unit()
        nids = checked.outliers.insert(unit, view.nid)
        for pos, built in checked.placed.items():
            stored = self._place(unit, view, built, nids, checked, pos, redactions)
            self.events.remember_on_commit(unit, stored)
            redactions.redact_here(unit, room, built.event, stored, self.events)
        oldest = next(iter(checked.placed.values()), None)
        named_by_nid = nids[oldest.event.event_id] if oldest else after.event_nid
        received_ids = {each.event.event_id for each in page.events}
        graph_storage.replace_missing(
            unit,
            view.nid,
            {*gap.event_ids, *received_ids, *checked.next_missing},
            by=checked.next_missing,
            named_by_nid=named_by_nid,
        )
        histories.write(unit, view.nid, nids)
        redactions.write_early(unit, view.nid, nids)
        unit.on_commit(view.forget_histories)
        changed = (*checked.known.values(), *redactions.here.values())
        announce_reread(unit, view, [each.event_nid for each in changed])
        await self.journal.commit(unit)
        return True

    async def _check(
        self, view: RoomView, gap: HistoryGap, page: FetchedPage
    ) -> _Checked:
        db = self.events.db
        (create,) = await whole_events(db, [view.create.event_nid])
        identity = RoomIdentity(view.nid, view.room_id, view.version, create.event)
        everything = [*page.others.values(), *page.events]
        outliers = await check_outliers(
            db, identity, [received.stored for received in everything]
        )
        usable = outliers.usable_ids()
        received_ids = {each.event.event_id for each in page.events}
        named = {*gap.event_ids}.union(*(e.event.prev_events for e in page.events))
        nodes = await nodes_of(db, view.nid, {*received_ids, *named})
        here = {
            event_id
            for event_id, node in nodes.items()
            if node.standing is not Standing.OUTLIER
        }
        new = [
            each.stored
            for each in page.events
            if each.event.event_id in usable and each.event.event_id not in here
        ]
        placed = await self._placed(view, gap, new)
        known = await self.events.by_nids(
            nodes[built.event.event_id].nid
            for built in placed.values()
            if built.event.event_id in nodes
        )
        return _Checked(outliers, placed, known, frozenset(named - received_ids - here))

    async def _placed(
        self, view: RoomView, gap: HistoryGap, new: Sequence[BuiltEvent]
    ) -> dict[int, BuiltEvent]:
        """Positions right before the gap's end, as far as there is room for them."""
        older = await self.events.backwards(view.nid, before=gap.pos, limit=1)
        if older:
            free = gap.pos - older[0].room_pos - 1
            new = new[len(new) - min(free, len(new)) :]
        return {gap.pos - len(new) + index: built for index, built in enumerate(new)}

    def _place(
        self,
        unit: JournalUnit,
        view: RoomView,
        built: BuiltEvent,
        nids: Mapping[EventId, int],
        checked: _Checked,
        pos: int,
        redactions: Redactions,
    ) -> StoredEvent:
        nid = nids[built.event.event_id]
        arrived_pos = unit.pos()
        stored = checked.known.get(nid) or StoredEvent.of(
            built, event_nid=nid, room_nid=view.nid
        )
        stored = replace(stored, room_pos=pos, arrived_pos=arrived_pos, _content=None)
        events_storage.update_backfilled(
            unit, nid, room_pos=pos, arrived_pos=arrived_pos
        )
        by_nid = redactions.find(built.event, nids)
        if by_nid is not None:
            client_json = redact_client_event(view.version, stored.client_json)
            stored.redact(client_json, by_nid=by_nid)
            events_storage.update_redacted(
                unit, nid, client_json=client_json, redacted_by_nid=by_nid
            )
        record_relation(unit, stored, built.event.content)
        return stored
