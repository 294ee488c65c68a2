"""Receipts (CS "Receipts")."""

import pytest

from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import EventId
from tremula.protocol.receipts import (
    Receipt,
    ReceiptType,
    parse_thread_id,
)


@pytest.mark.parametrize("raw", [None, 7, "", ["main"], "$" + "ä" * 128])
def test_a_malformed_thread_id_is_refused(raw: object) -> None:
    with pytest.raises(InvalidParam):
        parse_thread_id(raw)


@pytest.mark.parametrize("raw", ["main", "$root"])
def test_a_thread_id_is_main_or_an_event_id(raw: str) -> None:
    assert parse_thread_id(raw) == raw


def test_only_m_read_is_public() -> None:
    private = {kind for kind in ReceiptType if Receipt(kind, EventId("$e")).is_private}

    assert private == {ReceiptType.READ_PRIVATE, ReceiptType.FULLY_READ}
