"""What media are called and of what type they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.errors import InvalidParam
from tremula.protocol.media_headers import (
    FILENAME_CHARS_MAX,
    OCTET_STREAM,
    Disposition,
    content_disposition,
    disposition_of,
    essence_of,
    filename_in,
    parse_content_type,
    parse_filename,
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("text/plain", "text/plain"),
        (" image/PNG ", "image/PNG"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ('text/plain;name="a; b"', 'text/plain;name="a; b"'),
        (None, OCTET_STREAM),
        ("", OCTET_STREAM),
        ("image", OCTET_STREAM),
        ("image/", OCTET_STREAM),
        ("image/png, text/html", OCTET_STREAM),
        ("image/png\r\nX: y", OCTET_STREAM),
        ("image/p ng", OCTET_STREAM),
        ("image/" + "p" * 300, OCTET_STREAM),
        ("imäge/png", OCTET_STREAM),
    ],
)
def test_a_type_is_one_or_it_is_bytes(raw: str | None, expected: str) -> None:
    assert parse_content_type(raw) == expected


@pytest.mark.parametrize(
    ("content_type", "disposition"),
    [
        ("image/png", Disposition.INLINE),
        ("Image/PNG;a=b", Disposition.INLINE),
        ("image/svg+xml", Disposition.ATTACHMENT),
        ("text/html", Disposition.ATTACHMENT),
        (OCTET_STREAM, Disposition.ATTACHMENT),
    ],
)
def test_what_is_shown_inline(content_type: str, disposition: Disposition) -> None:
    assert disposition_of(content_type) is disposition
    assert essence_of(content_type) == essence_of(content_type.upper())


@pytest.mark.parametrize(
    ("header", "filename"),
    [
        ("attachment; filename=a.txt", "a.txt"),
        ('inline; filename="a b.txt"', "a b.txt"),
        (r'inline; filename="a\"b.txt"', 'a"b.txt'),
        ("inline; filename*=utf-8''%E2%82%AC.txt; filename=x", "€.txt"),
        ("inline; filename=x; filename*=UTF-8'en'%E2%82%AC.txt", "€.txt"),
        ("inline; filename*=iso-8859-1''%E9", "é"),
        ("inline; filename*=klingon''%E9; filename=b", "b"),
        ("inline; FILENAME=a; filename=b", "a"),
        ('inline; filename="\u00e2\u0082\u00ac"', "€"),
        ('inline; filename="\u00e9"', "é"),
        ("inline", None),
        ("inline; filename=", None),
        (None, None),
        ("inline; filename*=utf-8''%0D%0Aa", "a"),
        ("inline; filename=" + "a" * 999, "a" * FILENAME_CHARS_MAX),
    ],
)
def test_a_filename_of_another_server(header: str | None, filename: str | None) -> None:
    assert filename_in(header) == filename


@pytest.mark.parametrize("raw", [None, ""])
def test_no_filename(raw: str | None) -> None:
    assert parse_filename(raw) is None
    assert content_disposition(Disposition.INLINE, None) == "inline"


@pytest.mark.parametrize("raw", ["a\r\nb", "\x00", "a" * 256, "\x85", "\u2028"])
def test_a_filename_that_is_refused(raw: str) -> None:
    with pytest.raises(InvalidParam):
        parse_filename(raw)


@given(
    st.text(
        st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=80
    )
)
def test_a_filename_survives_the_way_through_a_header(filename: str) -> None:
    header = content_disposition(Disposition.ATTACHMENT, parse_filename(filename))

    assert header.isascii()
    assert header.isprintable()
    assert filename_in(header) == filename


@given(st.text(max_size=200))
def test_any_header_is_read(header: str) -> None:
    filename = filename_in(header)

    assert filename is None or parse_filename(filename) == filename
