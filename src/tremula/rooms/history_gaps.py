"""Places in a room's timeline where events of other servers are missing."""

from dataclasses import dataclass

from tremula.protocol.identifiers import EventId


@dataclass(frozen=True, slots=True)
class HistoryGap:
    """Events are missing before the one at ``pos``, of which ``event_ids`` are next."""

    pos: int
    event_ids: tuple[EventId, ...]
