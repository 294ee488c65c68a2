"""What an event says of another one (CS "Forming relationships between events")."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.protocol.identifiers import ID_BYTES_MAX, EventId

ANNOTATION: Final = "m.annotation"
REFERENCE: Final = "m.reference"
REPLACE: Final = "m.replace"
THREAD: Final = "m.thread"

RELATES_TO: Final = "m.relates_to"

ENCRYPTED: Final = "m.room.encrypted"

HOPS_MAX: Final = 3
"""How many relations lead from an event to its thread, or from a parent to an event
that relates to it indirectly: "at least 3 levels", "a maximum of 3 hops".
"""


class Relation(Struct, frozen=True):
    """The parent of an event, and what the event is to it (CS ``m.relates_to``)."""

    rel_type: str
    event_id: EventId


def relation_of(content: Mapping[str, Any]) -> Relation | None:
    """The relation in an event's content.

    "Relationships which don't match the schema … are simply ignored."
    """
    if RELATES_TO not in content:
        # As most.
        return None
    relation = content[RELATES_TO]
    if not isinstance(relation, dict):
        return None
    rel_type, event_id = relation.get("rel_type"), relation.get("event_id")
    if not isinstance(rel_type, str) or not isinstance(event_id, str):
        return None
    if not (_is_name(rel_type) and _is_name(event_id) and event_id[0] == "$"):
        return None
    return Relation(rel_type, EventId(event_id))


def is_edit(event_type: str, state_key: str | None, content: Mapping[str, Any]) -> bool:
    """Whether an event with the relation `REPLACE` can replace anything.

    "The replacement and original events must not have a `state_key`", and it "(once
    decrypted, if appropriate) must have an `m.new_content`".
    """
    if state_key is not None:
        return False
    return event_type == ENCRYPTED or isinstance(content.get("m.new_content"), dict)


def _is_name(value: str) -> bool:
    # PostgreSQL has no text with a NUL in it, and no identifier has one.
    return 0 < len(value.encode()) <= ID_BYTES_MAX and "\0" not in value
