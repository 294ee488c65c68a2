"""The body of CS ``setReadMarker``, with what bridges add."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tremula.features.receipts.service import Markers
from tremula.protocol.identifiers import EventId
from tremula.protocol.receipts import Receipt, ReceiptType, parse_extra

_Extra = dict[str, Any] | None


class ReadMarkersBody(msgspec.Struct):
    """Which markers to move, by event ID; what each says beside (``….extra``), and
    whether the read marker may move backwards (MSC4446).
    """

    fully_read: str | UnsetType = msgspec.field(name="m.fully_read", default=UNSET)
    read: str | UnsetType = msgspec.field(name="m.read", default=UNSET)
    read_private: str | UnsetType = msgspec.field(name="m.read.private", default=UNSET)
    fully_read_extra: _Extra = msgspec.field(
        name="com.beeper.fully_read.extra", default=None
    )
    read_extra: _Extra = msgspec.field(name="com.beeper.read.extra", default=None)
    read_private_extra: _Extra = msgspec.field(
        name="com.beeper.read.private.extra", default=None
    )
    allow_backward: bool = False
    unstable_allow_backward: bool = msgspec.field(
        name="com.beeper.allow_backward", default=False
    )

    def parse(self, *, clears_unread: bool = False) -> Markers:
        """The markers. Bridges, which say more with them, count on it that a room that
        is read is not marked as unread any more; of other clients it is their own task
        (CS "Unread markers").

        Raises:
            BadJson, InvalidParam: what is said beside is malformed or too long.
        """
        receipts = tuple(self._receipts())
        return Markers(
            receipts,
            may_go_back=self.allow_backward or self.unstable_allow_backward,
            clears_unread=clears_unread or any(each.extra for each in receipts),
        )

    def _receipts(self) -> Iterator[Receipt]:
        for receipt_type, event_id, extra in (
            (ReceiptType.FULLY_READ, self.fully_read, self.fully_read_extra),
            (ReceiptType.READ, self.read, self.read_extra),
            (ReceiptType.READ_PRIVATE, self.read_private, self.read_private_extra),
        ):
            if event_id is not UNSET:
                said, ts_ms = parse_extra(extra or {})
                yield Receipt(receipt_type, EventId(event_id), extra=said, ts_ms=ts_ms)
