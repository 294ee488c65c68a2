"""Received events that were judged, on their way into the room."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.infra.db import Reader
from tremula.infra.journal import JournalUnit
from tremula.protocol.events import BuiltEvent, Event
from tremula.protocol.identifiers import EventId
from tremula.protocol.redaction import redact_client_event
from tremula.rooms import graph_storage
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import NOWHERE_POS, StoredEvent
from tremula.rooms.events_storage import ServerPart
from tremula.rooms.graph import Node, Place, Standing
from tremula.rooms.judging import Judgement, NewPlace
from tremula.rooms.outliers import first_effective
from tremula.rooms.resolver import ARRIVING_NID
from tremula.rooms.room import REDACTION, Head, Room, redaction_of
from tremula.rooms.staging import (
    BranchChanges,
    EarlyRedaction,
    GraphChanges,
    Redaction,
    Staged,
)
from tremula.rooms.state import StateMap, StateUpdate, state_event

GAP_POSITIONS: Final = 1_000_000
"""How many places are left free before an event whose past is not here."""


class Redactions(Struct, frozen=True):
    """What an event redacts, and by what it was redacted before it came.

    ``target`` is the event that it redacts, ``target_id`` the ID of one that is not
    here; ``by_nid`` a redaction of this event.
    """

    target: StoredEvent | None = None
    target_id: EventId | None = None
    had_early: bool = False
    by_nid: int | None = None


class Arrival(Struct, frozen=True):
    """A judged event, and what was read to stage it without waiting any more.

    ``changed`` are the stored events that the current state has from now on.
    """

    built: BuiltEvent
    judgement: Judgement
    changed: Mapping[int, StoredEvent]
    redactions: Redactions

    def stage(self, room: Room, unit: JournalUnit) -> tuple[Head, Staged]:
        """The event as it goes to the disk with *unit*, and the head after it."""
        judgement, head = self.judgement, room.head
        pos = unit.pos()
        stored = self._stored(room, pos)
        event = self.built.event
        nid = stored.event_nid
        part = ServerPart(
            event.depth, self.built.server_json, judgement.standing, self._place(pos)
        )
        graph = GraphChanges(
            branch=self._branch_changes(pos, nid),
            was_missing=judgement.around.was_missing,
            had_early_redactions=self.redactions.had_early,
            is_unproven=judgement.is_unproven,
        )
        item = Staged(event, stored, part, graph=graph)
        if judgement.standing is not Standing.ACCEPTED:
            return head, item
        extremities = tuple(
            replace(each, nid=nid) if each.nid == ARRIVING_NID else each
            for each in judgement.extremities
        )
        is_recorded = [each.nid for each in extremities] != [nid]
        graph = replace(
            graph,
            extremities=tuple(e.nid for e in extremities) if is_recorded else (),
            were_recorded=head.is_recorded,
            missing=judgement.around.missing_prevs,
        )
        update = self._update(stored)
        state = head.state.updated(update)
        redaction = self._redaction(room, state)
        if isinstance(redaction, Redaction) and redaction.state_event is not None:
            state = state.with_event(redaction.state_event)
        successor = Head(
            auth=head.auth if state is head.state else head.auth.advanced_to(state),
            state=state,
            extremities=extremities,
            room_pos=stored.room_pos,
            is_recorded=is_recorded,
        )
        return successor, replace(item, update=update, redaction=redaction, graph=graph)

    def _stored(self, room: Room, pos: int) -> StoredEvent:
        event, around = self.built.event, self.judgement.around
        room_pos = NOWHERE_POS
        if self.judgement.standing is Standing.ACCEPTED:
            room_pos = room.head.room_pos + 1
            if around.missing_prevs:
                room_pos += GAP_POSITIONS
        client_json = self.built.client_json
        if self.redactions.by_nid is not None:
            client_json = redact_client_event(room.version, client_json)
        stored = StoredEvent.of(
            replace(self.built, client_json=client_json),
            event_nid=around.node.nid if around.node else pos,
            room_nid=room.view.nid,
            room_pos=room_pos,
        )
        if event.state_key is not None:
            stored.replaces_nid = self.judgement.before.get(event.key)
        stored.redacted_by_nid = self.redactions.by_nid
        stored.arrived_pos = pos if around.node else None
        return stored

    def _place(self, pos: int) -> Place | None:
        after = self.judgement.after
        if isinstance(after, NewPlace):
            return Place(after.base.branch if after.continues else pos, pos)
        return after

    def _branch_changes(self, pos: int, nid: int) -> BranchChanges | None:
        after, place = self.judgement.after, self._place(pos)
        if not isinstance(after, NewPlace) or place is None:
            return None
        changes = {
            key: nid if each == ARRIVING_NID else each
            for key, each in after.changes.items()
        }
        return BranchChanges(place, None if after.continues else after.base, changes)

    def _update(self, stored: StoredEvent) -> StateUpdate:
        changes = self.judgement.current.changes
        own = self.judgement.around.nid
        return StateUpdate(
            replaced=tuple(
                state_event(
                    stored if nid == own else self.changed[nid],
                    room_pos=stored.room_pos,
                )
                for nid in changes.values()
                if nid
            ),
            removed=tuple(key for key, nid in changes.items() if not nid),
        )

    def _redaction(
        self, room: Room, state: StateMap
    ) -> Redaction | EarlyRedaction | None:
        auth, sender = self.judgement.before_auth, self.built.event.sender
        if self.redactions.target_id is not None:
            has_power = room.version.redaction_auth_rule or (
                auth.power_levels.can_redact(sender)
            )
            return EarlyRedaction(self.redactions.target_id, has_power)
        if self.redactions.target is None:
            return None
        return redaction_of(
            room.version,
            self.built.event,
            self.redactions.target,
            auth=auth,
            state=state,
        )


class ArrivalReader(Struct, frozen=True):
    """Reads what it takes to stage a judged event."""

    db: Reader
    events: EventStore

    async def read(
        self, room: Room, built: BuiltEvent, judgement: Judgement
    ) -> Arrival:
        """What there is to read."""
        own = judgement.around.nid
        wanted = [nid for nid in judgement.current.changes.values() if nid]
        return Arrival(
            built,
            judgement,
            await self.events.by_nids(nid for nid in wanted if nid != own),
            await self._redactions(room, built.event, judgement),
        )

    async def _redactions(
        self, room: Room, event: Event, judgement: Judgement
    ) -> Redactions:
        early = await graph_storage.early_redactions(
            self.db, room.view.nid, [event.event_id]
        )
        redactions = early.get(event.event_id, [])
        by_nid = first_effective(redactions, event)
        node = judgement.around.node
        if node is not None:
            # As an outlier it may have been redacted: what came now says it whole.
            by_nid = (await self.events.by_nid(node.nid)).redacted_by_nid or by_nid
        found = Redactions(had_early=bool(redactions), by_nid=by_nid)
        if judgement.standing is not Standing.ACCEPTED or event.type != REDACTION:
            return found
        if event.redacts is None:
            return found
        nodes = await graph_storage.nodes_by_ids(self.db, [event.redacts])
        target = nodes.get(event.redacts)
        if target is None:
            return replace(found, target_id=event.redacts)
        if not _can_be_redacted(room, target):
            return found
        return replace(found, target=await self.events.by_nid(target.nid))


def _can_be_redacted(room: Room, target: Node) -> bool:
    return target.room_nid == room.view.nid and target.standing is not Standing.REJECTED
