"""Redactions among back-filled events, those that had come before their targets, and
those whose targets have been here since before the gap.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from tremula.infra.db import Unit
from tremula.infra.journal import JournalUnit
from tremula.protocol.events import BuiltEvent, Event
from tremula.protocol.identifiers import EventId, UserId, server_of
from tremula.rooms import graph_storage
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.graph import Standing
from tremula.rooms.room import REDACTION, Room, redaction_of
from tremula.rooms.staging import write_redaction
from tremula.rooms.view import RoomView
from tremula.rooms.whole_events import nodes_of


class _Redaction(Struct, frozen=True):
    """Who redacts; *nid* is None for one that is stored with the page."""

    event_id: EventId | None
    nid: int | None
    sender: UserId
    has_power: bool


class Redactions(Struct, frozen=True):
    """Redactions by the event that they redact; ``here`` are those of these events that
    are no part of the page, but here already.
    """

    by_target: Mapping[EventId, Sequence[_Redaction]]
    early: Sequence[tuple[EventId, _Redaction]]
    here: Mapping[EventId, StoredEvent]

    def find(self, event: Event, nids: Mapping[EventId, int]) -> int | None:
        """The number of the redaction that has redacted *event*, if any has.

        RV3 "Handling redactions": with enough power, or on the same server.
        """
        for each in self.by_target.get(event.event_id, ()):
            if each.has_power or server_of(each.sender) == server_of(event.sender):
                return each.nid if each.event_id is None else nids[each.event_id]
        return None

    def write_early(
        self, unit: Unit, room_nid: int, nids: Mapping[EventId, int]
    ) -> None:
        """Record those whose targets are not here yet."""
        for target_id, redaction in self.early:
            assert redaction.event_id is not None
            graph_storage.insert_early_redaction(
                unit,
                room_nid,
                target_id,
                redaction_nid=nids[redaction.event_id],
                sender=redaction.sender,
                has_power=redaction.has_power,
            )

    def redact_here(
        self,
        unit: JournalUnit,
        room: Room,
        event: Event,
        by: StoredEvent,
        events: EventStore,
    ) -> None:
        """Have *event*, stored as *by*, redact what is here already, if it may."""
        target = self.here.get(event.redacts) if event.redacts is not None else None
        if target is None or target.redacted_by_nid is not None:
            return
        head = room.head
        redaction = redaction_of(
            room.version, event, target, auth=head.auth, state=head.state
        )
        if redaction is None:
            return
        write_redaction(unit, target.room_nid, redaction, by)
        room.markers.unmark(unit, target, pos=by.placed_pos)

        def take_over() -> None:
            remains, by_nid = redaction.client_json, by.event_nid
            target.redact(remains, by_nid=by_nid)
            events.redact(target.event_nid, remains, by_nid=by_nid)
            if redaction.state_event is not None:
                room.take_redacted_state(redaction.state_event)

        unit.on_commit(take_over)


async def read_redactions(
    store: EventStore, view: RoomView, placed: Mapping[int, BuiltEvent]
) -> Redactions:
    """What redacts the events of a page, and what they redact.

    The power levels at a back-filled redaction are not known: today's count.
    """
    db = store.db
    events = [built.event for built in placed.values()]
    by_target: dict[EventId, list[_Redaction]] = {}
    event_ids = [event.event_id for event in events]
    stored = await graph_storage.early_redactions(db, view.nid, event_ids)
    for target_id, known in stored.items():
        by_target[EventId(target_id)] = [
            _Redaction(None, nid, sender, has_power) for nid, sender, has_power in known
        ]
    elsewhere: list[tuple[EventId, _Redaction]] = []
    levels = view.power_levels
    for event in events:
        if event.type != REDACTION or event.redacts is None:
            continue
        has_power = view.version.redaction_auth_rule or levels.can_redact(event.sender)
        redaction = _Redaction(event.event_id, None, event.sender, has_power)
        by_target.setdefault(event.redacts, []).append(redaction)
        if event.redacts not in event_ids:
            elsewhere.append((event.redacts, redaction))
    nodes = await nodes_of(db, view.nid, {target_id for target_id, _ in elsewhere})
    found = await store.by_nids(
        node.nid for node in nodes.values() if node.standing is not Standing.REJECTED
    )
    return Redactions(
        by_target,
        early=[each for each in elsewhere if each[0] not in nodes],
        here={target.event_id: target for target in found.values()},
    )
