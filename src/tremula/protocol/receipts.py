"""Receipts (CS "Receipts")."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from tremula.protocol.canonical import INTEGER_MAX
from tremula.protocol.errors import BadJson, InvalidParam
from tremula.protocol.identifiers import ID_BYTES_MAX, EventId
from tremula.protocol.json import encode_to_keep

EXTRA_BYTES_MAX: Final = 4_096
# What the server says itself.
_RESERVED: Final = frozenset({"ts", "thread_id", "event_id"})


class ReceiptType(StrEnum):
    """What a receipt says, and to whom."""

    READ = "m.read"
    READ_PRIVATE = "m.read.private"
    FULLY_READ = "m.fully_read"


class Receipt(Struct, frozen=True):
    """A marker on an event; unthreaded unless ``thread_id`` is set.

    ``extra`` is what it says beside, a JSON object; empty for nothing. It was given at
    ``ts_ms``, or else now.
    """

    type: ReceiptType
    event_id: EventId
    thread_id: str | None = None
    extra: bytes = b""
    ts_ms: int | None = None

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


def parse_extra(raw: Mapping[str, Any]) -> tuple[bytes, int | None]:
    """What a bridge says with a receipt (``com.beeper.read.extra``), to be kept, and
    when the receipt was given, if it says so.

    Raises:
        BadJson: ``ts`` is no time.
        InvalidParam: it is too long.
    """
    ts_ms = raw.get("ts")
    if ts_ms is not None and not (type(ts_ms) is int and 0 <= ts_ms <= INTEGER_MAX):
        raise BadJson("ts must be a time in milliseconds")
    said = {key: value for key, value in raw.items() if key not in _RESERVED}
    extra = encode_to_keep(said) if said else b""
    if len(extra) > EXTRA_BYTES_MAX:
        raise InvalidParam(f"a receipt says at most {EXTRA_BYTES_MAX} bytes more")
    return extra, ts_ms
