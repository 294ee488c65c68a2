"""Taking apart what other servers send as media."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.multipart import (
    MalformedMultipart,
    MultipartReader,
    PartBegins,
    multipart_frame,
)

Part = tuple[dict[str, str], bytes]


def read(pieces: Iterator[bytes] | list[bytes]) -> tuple[list[Part], bool]:
    reader, parts = MultipartReader(), list[Part]()
    for piece in pieces:
        for found in reader.feed(piece):
            if isinstance(found, PartBegins):
                parts.append((dict(found.headers), b""))
            else:
                headers, body = parts[-1]
                parts[-1] = (headers, body + found)
    return parts, reader.is_complete


def message(body: bytes, boundary: str = "abc") -> bytes:
    before, behind = multipart_frame(boundary, "text/plain", "inline")
    return before + body + behind


@given(st.binary(max_size=300), st.lists(st.integers(0, 500), max_size=12))
def test_however_it_is_cut_it_reads_the_same(body: bytes, cuts: list[int]) -> None:
    whole = message(body)
    places = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})

    parts, is_complete = read([whole[start:end] for start, end in pairwise(places)])

    assert is_complete
    assert parts == [
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "text/plain", "content-disposition": "inline"}, body),
    ]


def test_one_byte_at_a_time() -> None:
    body = b"\r\n--ab\r\n--abx\r\n-"
    whole = message(body)

    parts, is_complete = read([whole[n : n + 1] for n in range(len(whole))])

    assert is_complete
    assert parts[1][1] == body


def test_parts_without_heads_and_bodies() -> None:
    parts, is_complete = read(
        [b"--x\r\n\r\n--x\r\nA: b\r\n\r\n\r\n--x\r\n\r\nc\r\n--x--"]
    )

    assert is_complete
    assert parts == [({}, b""), ({"a": "b"}, b""), ({}, b"c")]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_body_may_be_nothing_but_its_delimiter(size: int) -> None:
    whole = b"--x\r\nA: b\r\n\r\n--x\r\n\r\n\r\n--x--\r\n"

    parts, is_complete = read(
        [whole[at : at + size] for at in range(0, len(whole), size)]
    )

    assert is_complete
    assert parts == [({"a": "b"}, b""), ({}, b"")]


def test_what_follows_the_end_is_ignored() -> None:
    parts, is_complete = read([message(b"a"), b"epilogue", b"\r\n--abc\r\n\r\nmore"])

    assert is_complete
    assert len(parts) == 2


@pytest.mark.parametrize("length", [10, 60, -6])
def test_what_breaks_off_is_not_complete(length: int) -> None:
    assert not read([message(b"hello")[:length]])[1]


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>" * 30,
        b"--" + b"x" * 100 + b"\r\n",
        b"--x\r\nA: " + b"b" * 20_000 + b"\r\n\r\n",
        b"--x\r\n\r\na\r\n--x" + b" " * 100,
    ],
)
def test_what_is_no_such_message_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMultipart):
        read([raw])


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_any_bytes_end_in_parts_or_an_error(pieces: list[bytes]) -> None:
    with suppress(MalformedMultipart):
        parts, _ = read(pieces)
        assert sum(len(body) for _, body in parts) <= sum(map(len, pieces))
