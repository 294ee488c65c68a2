"""Event IDs that application services have chosen: each names one event for good."""

from collections.abc import Mapping

from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import EventId


def check_places(
    places: Mapping[str, tuple[int, int | None]], room_nid: int
) -> dict[EventId, int]:
    """The places in a room that chosen IDs name already; *places* are theirs as
    ``(room_nid, room_pos)``.

    Raises:
        Forbidden: one is the ID of an event of another room.
    """
    known: dict[EventId, int] = {}
    for event_id, (nid, room_pos) in places.items():
        if nid != room_nid or room_pos is None:
            raise Forbidden(f"{event_id} is an event of another room")
        known[EventId(event_id)] = room_pos
    return known
