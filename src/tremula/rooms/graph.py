"""Values of the event graph: how an event stands, and where its state is found."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from tremula.protocol.identifiers import EventId

LIVE_BRANCH: Final = 0

PREV_EVENTS_CITED_MAX: Final = 10
"""How many forward extremities an event of ours names; the rest stay for the next."""


class Standing(IntEnum):
    """What became of an event (SS "Checks performed on receipt of a PDU")."""

    ACCEPTED = 0
    SOFT_FAILED = 1
    REJECTED = 2
    OUTLIER = 3
    """Known only as an auth event, or as part of a state that a peer told us."""


@dataclass(frozen=True, slots=True)
class Place:
    """A state of a room: that of a branch as it was at a position."""

    branch: int
    pos: int


@dataclass(frozen=True, slots=True)
class Node:
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


@dataclass(frozen=True, slots=True)
class Extremity:
    """A forward extremity: an event that no accepted event names as previous."""

    nid: int
    event_id: EventId
    depth: int
