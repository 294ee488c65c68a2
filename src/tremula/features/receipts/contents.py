"""The content of ``m.receipt`` events."""

from collections.abc import Iterable
from typing import Any

import orjson

from tremula.features.receipts.storage import StoredReceipt

Content = dict[str, dict[str, dict[str, dict[str, Any]]]]
"""`{event_id: {receipt_type: {user_id: {"ts": …}}}}`."""


def receipt_contents(receipts: Iterable[StoredReceipt]) -> list[Content]:
    """What is told of receipts in one room: one content a thread."""
    by_thread: dict[str | None, Content] = {}
    for stored in receipts:
        add_receipt(by_thread.setdefault(stored.receipt.thread_id, {}), stored)
    return list(by_thread.values())


def add_receipt(content: Content, stored: StoredReceipt) -> None:
    """Tell of a receipt in *content* as well; later ones count."""
    by_type = content.setdefault(stored.receipt.event_id, {})
    by_user = by_type.setdefault(stored.receipt.type.value, {})
    by_user[stored.user_id] = _encodable(stored)


def _encodable(stored: StoredReceipt) -> dict[str, Any]:
    receipt = stored.receipt
    said: dict[str, Any] = orjson.loads(receipt.extra) if receipt.extra else {}
    said["ts"] = stored.ts_ms
    if receipt.thread_id is not None:
        said["thread_id"] = receipt.thread_id
    return said
