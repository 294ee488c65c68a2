"""Judges again what was judged before all of a room's state was known."""

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import EventId
from tremula.rooms import graph_storage, partial_storage
from tremula.rooms.branches import StateAt
from tremula.rooms.event_states import EventStates
from tremula.rooms.events import StoredEvent
from tremula.rooms.graph import LIVE_BRANCH, Extremity, Place, Standing
from tremula.rooms.judging import Judge
from tremula.rooms.partial import PartialState
from tremula.rooms.relations import forget_relation
from tremula.rooms.room import Head, Room
from tremula.rooms.state import StateUpdate, state_event
from tremula.rooms.whole_events import WholeEvent, portions, whole_events


class Corrected(Struct, frozen=True):
    """How an event stands now, and the state after it, if those are others."""

    nid: int
    standing: Standing
    after: StateAt


class Corrections(Struct, frozen=True):
    """What has to change in a room: ``base`` is the state before the join.

    ``stored`` are the events of the current state that were not part of it, ``gone``
    those that are in the timeline no more.
    """

    base: StateAt
    events: Sequence[Corrected]
    extremities: Sequence[Extremity]
    current: StateAt
    stored: Mapping[int, StoredEvent]
    gone: Sequence[StoredEvent]

    def write(self, unit: JournalUnit, room: Room, partial: PartialState) -> Head:
        """Store them; the head that they make. What the current state has become stands
        after the newest event.
        """
        room_nid = room.view.nid
        base = Place(LIVE_BRANCH, partial.base_pos)
        for each in self.events:
            pos = unit.pos()
            place = Place(pos, pos)
            changes = each.after.difference(self.base)
            graph_storage.insert_branch(unit, room_nid, pos, base)
            graph_storage.insert_branch_changes(unit, room_nid, place, changes)
            is_shown = each.standing is Standing.ACCEPTED
            partial_storage.update_judged(
                unit, each.nid, each.standing, place, is_shown=is_shown
            )
        for stored in self.gone:
            forget_relation(unit, stored)
            room.markers.unmark(unit, stored, pos=unit.pos())
        nids = [each.nid for each in self.extremities]
        graph_storage.replace_extremities(unit, room_nid, nids, were_recorded=True)
        room_pos = room.head.room_pos + 1
        update = StateUpdate(
            replaced=tuple(
                state_event(each, room_pos=room_pos) for each in self.stored.values()
            ),
            removed=tuple(k for k, nid in self.current.changes.items() if not nid),
        )
        room.writer.write_update(
            unit, room.view, update, room_pos=room_pos, pos=unit.pos()
        )
        state = room.head.state.updated(update)
        return Head(
            auth=room.head.auth.advanced_to(state),
            state=state,
            extremities=tuple(self.extremities),
            room_pos=room_pos,
            is_recorded=True,
        )


class _Replay(Struct):
    """The events since the join, with the states after them as they are now known."""

    after: dict[EventId, StateAt] = field(default_factory=dict[EventId, StateAt])
    standings: dict[EventId, Standing] = field(default_factory=dict[EventId, Standing])
    named: set[EventId] = field(default_factory=set[EventId])
    corrected: list[Corrected] = field(default_factory=list[Corrected])


class Rechecking(Struct, frozen=True):
    """Nothing of the room may be on its way to the disk."""

    judge: Judge

    @property
    def _states(self) -> EventStates:
        return self.judge.states

    async def corrections(
        self, room: Room, partial: PartialState
    ) -> Corrections | None:
        """What has to change now that the state before the join is complete.

        Most often nothing: the events in question are judged as they were. If one of
        them is not, then all that has come since the join is looked at.
        """
        nids = await partial_storage.unproven_events(self.judge.db, room.view.nid)
        for part in portions(nids):
            for each in await whole_events(self.judge.db, part):
                before = await self._states.before_stored(room, each.event, {})
                is_allowed = await self.judge.allows(room, each.event, before)
                if is_allowed is (each.standing is Standing.REJECTED):
                    return await self._replayed(room, partial)
        return None

    async def _replayed(self, room: Room, partial: PartialState) -> Corrections:
        db = self.judge.db
        base = await self._states.before(room, partial.join_nid)
        assert base is not None, "it stands in the live view"
        replay = _Replay()
        nids = await partial_storage.judged_after(
            db, room.view.nid, pos=partial.join_nid - 1
        )
        events = {each.nid: each for each in await whole_events(db, nids)}
        for nid in nids:
            await self._replay(room, events[nid], replay)
        ends = [
            Extremity(each.nid, each.event.event_id, each.event.depth)
            for each in events.values()
            if replay.standings.get(each.event.event_id) is Standing.ACCEPTED
            and each.event.event_id not in replay.named
        ]
        states = [replay.after[each.event_id] for each in ends]
        current = await self._states.resolve(room, states)
        stored = await self.judge.events.by_nids(filter(None, current.changes.values()))
        gone = await self.judge.events.by_nids(
            each.nid
            for each in replay.corrected
            if each.standing is not Standing.ACCEPTED
        )
        return Corrections(
            base, replay.corrected, ends, current, stored, list(gone.values())
        )

    async def _replay(self, room: Room, whole: WholeEvent, replay: _Replay) -> None:
        event = whole.event
        before = await self._states.before_stored(room, event, replay.after)
        standing = whole.standing
        is_allowed = await self.judge.allows(room, event, before)
        if not is_allowed:
            standing = Standing.REJECTED
        elif standing is Standing.REJECTED:
            # Nobody has been shown it when it came.
            standing = Standing.SOFT_FAILED
        after = before
        if event.state_key is not None and standing is not Standing.REJECTED:
            after = before.with_event(event.key, whole.nid)
        replay.after[event.event_id] = after
        replay.standings[event.event_id] = standing
        if standing is Standing.ACCEPTED:
            replay.named.update(event.prev_events)
        stored_after = await self._states.after(room, whole.nid)
        if standing is not whole.standing or (
            stored_after is None or stored_after.changes != after.changes
        ):
            replay.corrected.append(Corrected(whole.nid, standing, after))
