"""Receipts (CS "Receipts")."""

from enum import StrEnum

from msgspec import Struct

from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import ID_BYTES_MAX, EventId


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
