"""Values of the event graph: how an event stands, and where its state is found."""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final

from msgspec import Struct

from tremula.protocol.identifiers import EventId

LIVE_BRANCH: Final = 0

UNKNOWN_NID: Final = -1
"""Stands for an event that nobody could tell."""

PREV_EVENTS_CITED_MAX: Final = 10
"""How many forward extremities an event of ours names; the rest stay for the next."""


class Standing(IntEnum):
    """What became of an event (SS "Checks performed on receipt of a PDU")."""

    ACCEPTED = 0
    SOFT_FAILED = 1
    REJECTED = 2
    OUTLIER = 3
    """Known only as an auth event, or as part of a state that a peer told us."""
    BACKFILLED = 4
    """In the timeline, but older than what came here by itself: the state at it is not
    known.
    """


class Place(Struct, frozen=True):
    """A state of a room: that of a branch as it was at a position."""

    branch: int
    pos: int


class Node(Struct, frozen=True):
    """What the graph needs of a stored event.

    ``place`` is that of the state after it; None if that is not known. ``room_pos``
    is None for what no timeline shows.
    """

    nid: int
    event_id: EventId
    room_nid: int
    room_pos: int | None
    depth: int
    standing: Standing
    place: Place | None
    type: str
    state_key: str | None
    replaces_nid: int | None

    @property
    def is_in_state(self) -> bool:
        """Whether the state after it has this very event."""
        return self.state_key is not None and self.standing is not Standing.REJECTED


class Extremity(Struct, frozen=True):
    """A forward extremity: an event that no accepted event names as previous."""

    nid: int
    event_id: EventId
    depth: int


def missing_of(
    event_ids: Iterable[EventId], nodes: Mapping[EventId, Node]
) -> tuple[EventId, ...]:
    """Those of *event_ids* that have no place in the room; *nodes* are those here."""
    return tuple(
        event_id
        for event_id in dict.fromkeys(event_ids)
        if event_id not in nodes or nodes[event_id].standing is Standing.OUTLIER
    )
