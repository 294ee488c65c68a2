"""What decides who may see back-filled events.

The state at them is not known but for two kinds of keys: the history visibility, and
the memberships of our own users. Their changes go to the live view, where `Visibility`
reads them. What is not known counts as the strictest.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from tremula.infra.db import Reader, Unit
from tremula.protocol.events import BuiltEvent
from tremula.protocol.identifiers import EventId, ServerName, UserId, server_of
from tremula.protocol.room_state import HISTORY_VISIBILITY, StateKey
from tremula.rooms import storage
from tremula.rooms.events import StoredEvent
from tremula.rooms.graph import UNKNOWN_NID
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView


class Earlier(Struct, frozen=True):
    """The history visibility before a page; no ``event_id``: none was set."""

    is_known: bool
    event_id: EventId | None = None


UNKNOWN_EARLIER: Final = Earlier(is_known=False)


class Histories(Struct):
    """Rows for the live view: ``changed`` by events of the page, which are named by
    their IDs; ``held``: what a key has from a position on where nothing else is said.
    """

    changed: list[tuple[StateKey, int, EventId]] = field(
        default_factory=list[tuple[StateKey, int, EventId]]
    )
    held: list[tuple[StateKey, int, int]] = field(
        default_factory=list[tuple[StateKey, int, int]]
    )
    earlier: tuple[int, EventId] | None = None

    def write(self, unit: Unit, room_nid: int, nids: Mapping[EventId, int]) -> None:
        """Add the rows to *unit*; *nids* has the events that were not rejected."""
        held = list(self.held)
        if self.earlier is not None:
            pos, event_id = self.earlier
            held.append((HISTORY_VISIBILITY, pos, nids.get(event_id, UNKNOWN_NID)))
        storage.insert_held_changes(unit, room_nid, held)
        storage.upsert_changes(
            unit,
            room_nid,
            [(key, pos, nids[event_id]) for key, pos, event_id in self.changed],
        )


async def read_histories(
    db: Reader,
    view: RoomView,
    after: StoredEvent,
    placed: Mapping[int, BuiltEvent],
    earlier: Earlier,
    *,
    own: ServerName,
) -> Histories:
    """What a page that is placed before the event *after* changes."""
    histories = Histories()
    if not placed:
        return histories
    oldest_pos = min(placed)
    for pos, built in placed.items():
        event = built.event
        if event.state_key is not None and _counts(view, event.key, own):
            histories.changed.append((event.key, pos, event.event_id))
    for key in {key for key, _, _ in histories.changed} | {HISTORY_VISIBILITY}:
        at_nid, before_nid = await _around(db, view, key, after)
        is_changed = any(key == each for each, _, _ in histories.changed)
        if is_changed:
            # Past the page, all is as it was.
            histories.held.append((key, after.room_pos, at_nid))
        if key != HISTORY_VISIBILITY:
            continue
        if not is_changed:
            histories.held.append((key, oldest_pos - 1, before_nid))
        elif not earlier.is_known:
            histories.held.append((key, oldest_pos - 1, UNKNOWN_NID))
        elif earlier.event_id is None:
            histories.held.append((key, oldest_pos - 1, 0))
        else:
            histories.earlier = (oldest_pos - 1, earlier.event_id)
    return histories


def _counts(view: RoomView, key: StateKey, own: ServerName) -> bool:
    if key[0] != MEMBER:
        return key == HISTORY_VISIBILITY
    # What a user is now has to be known before it can be said what they were.
    return server_of(key[1]) == own and view.knows(UserId(key[1]))


async def _around(
    db: Reader, view: RoomView, key: StateKey, after: StoredEvent
) -> tuple[int, int]:
    """What *key* has after the event *after*, and what before it; 0 for no event."""
    changes: Sequence[tuple[int, int]] = await storage.changes_of_key(db, view.nid, key)
    at_nid = next((nid for pos, nid in reversed(changes) if pos <= after.room_pos), 0)
    if at_nid == after.event_nid:
        return at_nid, after.replaces_nid or 0
    return at_nid, at_nid
