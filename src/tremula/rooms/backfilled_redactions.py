"""Redactions among back-filled events, and those that had come before their targets."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.events import BuiltEvent, Event
from tremula.protocol.identifiers import EventId, UserId, server_of
from tremula.rooms import graph_storage
from tremula.rooms.room import REDACTION
from tremula.rooms.view import RoomView


class _Redaction(Struct, frozen=True):
    """Who redacts; *nid* is None for one that is stored with the page."""

    event_id: EventId | None
    nid: int | None
    sender: UserId
    has_power: bool


class Redactions(Struct, frozen=True):
    """Redactions by the event that they redact."""

    by_target: Mapping[EventId, Sequence[_Redaction]]
    early: Sequence[tuple[EventId, _Redaction]]

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


async def read_redactions(
    db: Reader, view: RoomView, placed: Mapping[int, BuiltEvent]
) -> Redactions:
    """What redacts the events of a page, and what they redact.

    The power levels at a back-filled redaction are not known: today's count.
    """
    events = [built.event for built in placed.values()]
    by_target: dict[EventId, list[_Redaction]] = {}
    event_ids = [event.event_id for event in events]
    stored = await graph_storage.early_redactions(db, view.nid, event_ids)
    for target_id, known in stored.items():
        by_target[EventId(target_id)] = [
            _Redaction(None, nid, sender, has_power) for nid, sender, has_power in known
        ]
    early: list[tuple[EventId, _Redaction]] = []
    levels = view.power_levels
    for event in events:
        if event.type != REDACTION or event.redacts is None:
            continue
        has_power = view.version.redaction_auth_rule or levels.can_redact(event.sender)
        redaction = _Redaction(event.event_id, None, event.sender, has_power)
        by_target.setdefault(event.redacts, []).append(redaction)
        if event.redacts not in event_ids:
            early.append((event.redacts, redaction))
    return Redactions(by_target, early)
