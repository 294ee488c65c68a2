"""Events that are stored without a place in the room: auth events, told states."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from tremula.infra.db import Reader
from tremula.infra.journal import JournalUnit
from tremula.protocol.events import BuiltEvent, Event
from tremula.protocol.identifiers import EventId, RoomId, UserId, server_of
from tremula.protocol.redaction import redact_client_event
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms import events_storage, graph_storage
from tremula.rooms.events import StoredEvent
from tremula.rooms.events_storage import ServerPart
from tremula.rooms.graph import Node, Standing
from tremula.rooms.judging import auth_events_violation
from tremula.rooms.topology import ordered
from tremula.rooms.whole_events import WholeEvent, nodes_of, portions, whole_events

_EVENTS_PER_TURN: Final = 200
"""How many are checked between two turns of the event loop."""


class RoomIdentity(Struct, frozen=True):
    """What makes a room this one: ``create`` is its create event. ``room_nid`` is None
    as long as nothing of it is stored.
    """

    room_nid: int | None
    room_id: RoomId
    version: RoomVersion
    create: Event


class Outliers(Struct, frozen=True):
    """Outliers that were checked: ``new`` ones to be stored, in this order, each after
    its auth events; and ``known`` ones. Redactions have come before some of them:
    ``redacted`` are their numbers, by the events that they redact.
    """

    version: RoomVersion
    new: Sequence[tuple[BuiltEvent, Standing]]
    known: Mapping[EventId, Node]
    redacted: Mapping[EventId, int]

    def usable_ids(self) -> set[EventId]:
        """Those that were not rejected: the others must not enter any state."""
        known = {
            event_id
            for event_id, node in self.known.items()
            if node.standing is not Standing.REJECTED
        }
        return known | {
            built.event.event_id
            for built, standing in self.new
            if standing is not Standing.REJECTED
        }

    def insert(self, unit: JournalUnit, room_nid: int) -> dict[EventId, int]:
        """Store the new ones; the numbers of all that were not rejected."""
        nids = {
            event_id: node.nid
            for event_id, node in self.known.items()
            if node.standing is not Standing.REJECTED
        }
        for built, standing in self.new:
            stored = StoredEvent.of(built, event_nid=unit.pos(), room_nid=room_nid)
            by_nid = self.redacted.get(stored.event_id)
            if by_nid is not None:
                remains = redact_client_event(self.version, stored.client_json)
                stored.redact(remains, by_nid=by_nid)
            part = ServerPart(built.event.depth, built.server_json, standing)
            events_storage.insert_event(unit, stored, part)
            if standing is not Standing.REJECTED:
                nids[stored.event_id] = stored.event_nid
        return nids


async def check_outliers(
    db: Reader, room: RoomIdentity, events: Sequence[BuiltEvent]
) -> Outliers:
    """Check each of *events* against its auth events, all of which must be had.

    What is of another room, or lacks auth events, is left out: whoever names it will
    not have it either.
    """
    events = [each for each in events if each.event.room_id == room.room_id]
    known = await _known(db, room, events)
    checked = {each.event.event_id: each for each in await _cited(db, events, known)}
    new: list[tuple[BuiltEvent, Standing]] = []
    in_order = ordered(events, _event_of, lambda event: event.auth_events)
    for count, built in enumerate(in_order):
        event = built.event
        if event.event_id in known:
            continue
        if count % _EVENTS_PER_TURN == _EVENTS_PER_TURN - 1:
            await asyncio.sleep(0)
        cited = [checked[each] for each in event.auth_events if each in checked]
        if len(cited) < len(event.auth_events):
            continue
        standing = _standing(room, event, cited)
        checked[event.event_id] = WholeEvent(0, event, standing)
        new.append((built, standing))
    redacted = await _redacted(db, room, [built.event for built, _ in new])
    return Outliers(room.version, new, known, redacted)


def _standing(
    room: RoomIdentity, event: Event, cited: Sequence[WholeEvent]
) -> Standing:
    if event.type == "m.room.create" and event.event_id != room.create.event_id:
        return Standing.REJECTED
    reason = auth_events_violation(room.create, room.version, event, cited)
    return Standing.OUTLIER if reason is None else Standing.REJECTED


async def _redacted(
    db: Reader, room: RoomIdentity, events: Sequence[Event]
) -> dict[EventId, int]:
    """What has redacted *events* before they came, by their IDs."""
    if room.room_nid is None:
        return {}
    found: dict[EventId, int] = {}
    for part in portions(events):
        early = await graph_storage.early_redactions(
            db, room.room_nid, [event.event_id for event in part]
        )
        for event in part:
            by_nid = first_effective(early.get(event.event_id, ()), event)
            if by_nid is not None:
                found[event.event_id] = by_nid
    return found


def first_effective(
    redactions: Sequence[tuple[int, UserId, bool]], event: Event
) -> int | None:
    """The number of the first of these early redactions that redacts *event*.

    RV3 "Handling redactions": with enough power, or on the same server.
    """
    for nid, sender, has_power in redactions:
        if has_power or server_of(sender) == server_of(event.sender):
            return nid
    return None


async def _known(
    db: Reader, room: RoomIdentity, events: Sequence[BuiltEvent]
) -> dict[EventId, Node]:
    """Those of *events*, and of their auth events, that are stored already."""
    if room.room_nid is None:
        return {}
    named = {each.event.event_id for each in events}
    named.update(cited for each in events for cited in each.event.auth_events)
    return await nodes_of(db, room.room_nid, named)


async def _cited(
    db: Reader, events: Sequence[BuiltEvent], known: Mapping[EventId, Node]
) -> list[WholeEvent]:
    cited = {
        known[each].nid
        for built in events
        if built.event.event_id not in known
        for each in built.event.auth_events
        if each in known
    }
    return await whole_events(db, cited)


def _event_of(built: BuiltEvent) -> Event:
    return built.event
