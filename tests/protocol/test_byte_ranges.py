"""Parts of files, by RFC 9110."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.byte_ranges import (
    ByteRange,
    NotSatisfiable,
    is_known,
    is_meant,
    parse_range,
)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 1, 10)),
        ("bytes=9-9", ByteRange(9, 1, 10)),
        ("bytes=3-", ByteRange(3, 7, 10)),
        ("bytes=-4", ByteRange(6, 4, 10)),
        ("bytes=-99", ByteRange(0, 10, 10)),
        ("bytes=2-99", ByteRange(2, 8, 10)),
        ("bytes=5-2", None),
        ("bytes=1-2,4-5", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=1-2 ", None),
        # To the end, as those say who do not know where it is.
        ("bytes=2-9223372036854775807", ByteRange(2, 8, 10)),
        ("bytes=2-18446744073709551615", ByteRange(2, 8, 10)),
        ("bytes=-9223372036854775807", ByteRange(0, 10, 10)),
        ("Bytes=0-0", ByteRange(0, 1, 10)),
        ("bytes=2-999999999999999999999", None),
        (None, None),
    ],
)
def test_ranges(header: str | None, expected: ByteRange | None) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(
    "header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=9223372036854775807-"]
)
def test_ranges_behind_the_end(header: str) -> None:
    with pytest.raises(NotSatisfiable):
        parse_range(header, 10)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_a_part_lies_within_the_whole(first: int, last: int, total: int) -> None:
    try:
        part = parse_range(f"bytes={first}-{last}", total)
    except NotSatisfiable:
        assert first >= total
        return
    if part is not None:
        assert 0 < part.length <= total - part.start
        assert (
            part.content_range == f"bytes {part.start}-{min(last, total - 1)}/{total}"
        )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
        (None, False),
    ],
)
def test_what_is_known(header: str | None, *, expected: bool) -> None:
    assert is_known('"a"', header) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('"a"', True),
        ('"b", "a"', True),
        ('W/"b", "a"', True),
        ("*", True),
        (None, True),
        ('W/"a"', False),
        ('"b"', False),
        ("a", False),
        ("", False),
    ],
)
def test_what_is_meant(header: str | None, *, expected: bool) -> None:
    assert is_meant('"a"', header) is expected
