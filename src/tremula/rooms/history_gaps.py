"""Places in a room's timeline where events of other servers are missing."""

from msgspec import Struct

from tremula.protocol.identifiers import EventId


class HistoryGap(Struct, frozen=True):
    """Events are missing before the one at ``pos``, of which ``event_ids`` are next."""

    pos: int
    event_ids: tuple[EventId, ...]
