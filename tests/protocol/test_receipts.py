"""Receipts (CS "Receipts")."""

import pytest

from tremula.protocol.errors import BadJson, InvalidParam
from tremula.protocol.identifiers import EventId
from tremula.protocol.receipts import (
    EXTRA_BYTES_MAX,
    Receipt,
    ReceiptType,
    parse_extra,
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


def test_what_a_bridge_says_is_kept_but_for_the_servers_own() -> None:
    said = {"ts": 17, "thread_id": "$a", "event_id": "$b", "fi.mau.x": [1]}

    assert parse_extra(said) == (b'{"fi.mau.x":[1]}', 17)
    assert parse_extra({"ts": 2**53 - 1}) == (b"", 2**53 - 1)
    assert parse_extra({}) == (b"", None)


@pytest.mark.parametrize("ts", ["1", 1.5, True, -1, 2**53])
def test_a_receipt_has_a_time(ts: object) -> None:
    with pytest.raises(BadJson):
        parse_extra({"ts": ts})


def test_what_a_bridge_says_has_a_bound() -> None:
    text = "x" * (EXTRA_BYTES_MAX - len('{"a":""}'))

    assert len(parse_extra({"a": text})[0]) == EXTRA_BYTES_MAX
    with pytest.raises(InvalidParam):
        parse_extra({"a": text + "x"})
