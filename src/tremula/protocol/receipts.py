"""Receipts, and which thread an event belongs to (CS "Receipts", "Threading")."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import ID_BYTES_MAX, EventId

MAIN_THREAD: Final = "main"
# "A maximum of 3 hops is recommended to cover indirect relationships."
RELATION_HOPS_MAX: Final = 3


class ReceiptType(StrEnum):
    """What a receipt says, and to whom."""

    READ = "m.read"
    READ_PRIVATE = "m.read.private"
    FULLY_READ = "m.fully_read"


class Receipt(Struct, frozen=True):
    """A marker on an event; unthreaded unless ``thread_id`` is set."""

    type: ReceiptType
    event_id: EventId
    thread_id: str | None = None

    @property
    def is_private(self) -> bool:
        """Whether nobody but its owner may see it."""
        return self.type is not ReceiptType.READ


class Relation(Struct, frozen=True):
    """What an event says of its relation to another (CS ``m.relates_to``)."""

    rel_type: str
    event_id: EventId


def parse_thread_id(raw: object) -> str:
    """Validate a client's ``thread_id``: an event ID or ``main``.

    Raises:
        InvalidParam: *raw* is not a string, or is empty or too long.
    """
    if not isinstance(raw, str) or not raw:
        raise InvalidParam("thread_id must be a non-empty string")
    if len(raw.encode()) > ID_BYTES_MAX:
        raise InvalidParam(f"thread_id has at most {ID_BYTES_MAX} bytes")
    return raw


def relation_of(content: Mapping[str, Any]) -> Relation | None:
    """The relation in an event's content; a malformed one is none."""
    relation = content.get("m.relates_to")
    if not isinstance(relation, dict):
        return None
    rel_type, event_id = relation.get("rel_type"), relation.get("event_id")
    if not isinstance(rel_type, str) or not isinstance(event_id, str):
        return None
    return Relation(rel_type, EventId(event_id))
