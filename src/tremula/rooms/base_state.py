"""Puts a state that has come to be known below what has come since."""

import asyncio
from collections.abc import Mapping, Sequence

from msgspec import Struct

from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.auth_selection import auth_event_keys
from tremula.protocol.auth_state import AuthState
from tremula.protocol.identifiers import server_of
from tremula.protocol.room_state import CREATE, StateKey
from tremula.rooms import graph_storage, partial_storage, storage
from tremula.rooms.branches import StateAt
from tremula.rooms.event_states import EventStates
from tremula.rooms.event_store import EventStore
from tremula.rooms.judging import violation
from tremula.rooms.partial import PartialState
from tremula.rooms.peers import PeerFailed
from tremula.rooms.room import Room
from tremula.rooms.staging import announce_reread
from tremula.rooms.state import MEMBER, StateEvent, StateUpdate, state_event
from tremula.rooms.whole_events import portions, whole_events

_State = Mapping[StateKey, int]


class BaseStates(Struct, frozen=True):
    """Completes the live view at the position of a partial state.

    All states of the room are stored as what they differ in from that one, so that
    what is added there is added to all of them.
    """

    events: EventStore
    journal: Journal
    states: EventStates

    async def fill(
        self, room: Room, partial: PartialState, told: _State
    ) -> JournalUnit:
        """Make *told* the state before the join.

        Where it contradicts what the first server has told, neither is believed more
        than the other: state resolution decides.

        Raises:
            PeerFailed: it does not allow the join.
        """
        db, room_nid = self.events.db, room.view.nid
        known = await storage.state_set_at(db, room_nid, room_pos=partial.base_pos)
        base = await self._agreed(room, known, told)
        await self._check_join(room, partial, base)
        changes = {key: nid for key, nid in base.items() if known.get(key) != nid}
        changes |= {key: 0 for key in known if key not in base}
        later = await graph_storage.live_state_before_changes(
            db, room_nid, pos=partial.base_pos
        )
        changed_since = {key for key, _ in later}
        entries = await self._entries(
            [n for key, n in changes.items() if n and key not in changed_since],
            room_pos=partial.base_pos,
        )
        first_changes = await partial_storage.first_changes_after(
            db, room_nid, pos=partial.join_nid - 1
        )
        unit = self.journal.unit()
        storage.upsert_changes(
            unit, room_nid, [(k, partial.base_pos, n) for k, n in changes.items()]
        )
        gone = [k for k, nid in changes.items() if not nid and k not in changed_since]
        storage.delete_current_state(unit, room_nid, gone)
        storage.upsert_current_state(unit, room_nid, entries)
        self._record_own(unit, room, entries)
        replaced = {
            nid: changes[key]
            for nid, key in first_changes
            if changes.get(key) and changes[key] != nid
        }
        partial_storage.update_replaced(unit, replaced)
        graph_storage.fill_branches(unit, room_nid, changes, from_pos=partial.join_nid)
        state = room.head.state.updated(StateUpdate(tuple(entries), tuple(gone)))
        unit.on_commit(lambda: room.take_state(state))
        unit.on_commit(lambda: self.events.forget(replaced))
        announce_reread(unit, room.view, replaced)
        return unit

    async def _agreed(self, room: Room, known: _State, told: _State) -> _State:
        kept = {**told, **known}
        if kept == told:
            return told
        current = room.head.state
        states = [
            StateAt.of(current, {**dict.fromkeys(current, 0), **state})
            for state in (kept, told)
        ]
        resolved = await self.states.resolve(room, states)
        return resolved.entries()

    async def _check_join(
        self, room: Room, partial: PartialState, base: _State
    ) -> None:
        [join] = await whole_events(self.events.db, [partial.join_nid])
        event, version = join.event, room.version
        keys = auth_event_keys(
            version, event.type, event.state_key, event.sender, event.content
        )
        nids = [nid for key in {CREATE, *keys} if (nid := base.get(key))]
        cited = await whole_events(self.events.db, nids)
        state = AuthState(version, {each.event.key: each.event for each in cited})
        reason = violation(version, event, state)
        if reason is not None:
            raise PeerFailed(f"a state that does not allow the join: {reason}")

    async def _entries(self, nids: Sequence[int], *, room_pos: int) -> list[StateEvent]:
        entries: list[StateEvent] = []
        for part in portions(nids):
            found = await self.events.by_nids(part)
            entries += [state_event(each, room_pos=room_pos) for each in found.values()]
            await asyncio.sleep(0)
        return entries

    def _record_own(
        self, unit: JournalUnit, room: Room, entries: Sequence[StateEvent]
    ) -> None:
        """What our own users turn out to be, who have not said anything since."""
        for entry in entries:
            if entry.type == MEMBER and room.own.is_named(server_of(entry.state_key)):
                room.writer.write_membership(unit, room.view, entry, pos=unit.pos())
