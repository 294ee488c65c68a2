"""Canonical JSON: the vectors of the Appendices, and what is refused."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import JSON_VALUES
from tremula.protocol.canonical import (
    check_canonical,
    encode_canonical,
    encode_canonical_lenient,
)
from tremula.protocol.errors import BadJson
from tremula.protocol.json import parse_json

ENCODERS = [encode_canonical, encode_canonical_lenient]
AUTH = """{
    "auth": {
        "success": true,
        "mxid": "@john.doe:example.com",
        "profile": {
            "display_name": "John Doe",
            "three_pids": [
                {"medium": "email", "address": "john.doe@example.org"},
                {"medium": "msisdn", "address": "123456789"}
            ]
        }
    }
}"""
AUTH_CANONICAL = (
    '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe",'
    '"three_pids":[{"address":"john.doe@example.org","medium":"email"},'
    '{"address":"123456789","medium":"msisdn"}]},"success":true}}'
)


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("{}", "{}"),
        ('{\n "one": 1,\n "two": "Two"\n}', '{"one":1,"two":"Two"}'),
        ('{\n "b": "2",\n "a": "1"\n}', '{"a":"1","b":"2"}'),
        ('{"b":"2","a":"1"}', '{"a":"1","b":"2"}'),
        (AUTH, AUTH_CANONICAL),
        ('{"a": "日本語"}', '{"a":"日本語"}'),
        ('{"本": 2, "日": 1}', '{"日":1,"本":2}'),
        ('{"a": "\\u65E5"}', '{"a":"日"}'),
        ('{"a": null}', '{"a":null}'),
        ('{"a": -0}', '{"a":0}'),
    ],
)
def test_the_vectors_of_the_appendices(
    encode: Callable[[object], bytes], raw: str, canonical: str
) -> None:
    assert encode(parse_json(raw.encode())) == canonical.encode()


def test_the_vector_with_an_exponent() -> None:
    """Only old room versions take it: elsewhere a float "is not permitted"."""
    value = parse_json(b'{"a": -0, "b": 1e10}')

    assert encode_canonical_lenient(value) == b'{"a":0,"b":10000000000}'
    with pytest.raises(BadJson):
        encode_canonical(value)


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize(
    ("char", "encoded"),
    [
        ("\b", b"\\b"),
        ("\t", b"\\t"),
        ("\n", b"\\n"),
        ("\f", b"\\f"),
        ("\r", b"\\r"),
        ('"', b'\\"'),
        ("\\", b"\\\\"),
        ("\x00", b"\\u0000"),
        ("\x07", b"\\u0007"),
        ("\x0b", b"\\u000b"),
        ("\x0e", b"\\u000e"),
        ("\x1f", b"\\u001f"),
        ("/", b"/"),
        ("<", b"<"),
        ("\x7f", b"\x7f"),
        ("\x80", b"\xc2\x80"),
        ("\u2028", b"\xe2\x80\xa8"),
        ("\u2029", b"\xe2\x80\xa9"),
        ("\ufeff", b"\xef\xbb\xbf"),
        ("\U0010ffff", b"\xf4\x8f\xbf\xbf"),
    ],
)
def test_only_what_must_be_is_escaped(
    encode: Callable[[object], bytes], char: str, encoded: bytes
) -> None:
    assert encode(char) == b'"' + encoded + b'"'
    assert encode({char: 1}) == b'{"' + encoded + b'":1}'


@pytest.mark.parametrize("encode", ENCODERS)
def test_keys_are_sorted_by_code_point(encode: Callable[[object], bytes]) -> None:
    """UTF-16 would put U+10000 before U+FFFF."""
    value = {"\uffff": 1, "\U00010000": 2, "\u00e9": 3, "e\u0301": 4, "a": 5, "": 6}

    assert list(parse_json(encode(value))) == sorted(value)  # type: ignore[call-overload]


@pytest.mark.parametrize("number", [2**53 - 1, -(2**53) + 1, 0])
def test_integers_within_the_range_are_taken(number: int) -> None:
    check_canonical([number])


@pytest.mark.parametrize(
    "value",
    [
        2**53,
        -(2**53),
        2**64,
        parse_json(b"18446744073709551616"),
        1.0,
        -0.0,
        0.5,
        math.nan,
        math.inf,
        {"a": [{"b": 1.5}]},
        "\ud800",
        {"\udfff": 1},
        {1: 2},
        b"bytes",
        object(),
    ],
)
def test_what_is_not_canonical_is_refused(value: object) -> None:
    with pytest.raises(BadJson):
        check_canonical(value)


def test_absurd_depths_are_refused() -> None:
    value: object = 1
    for _ in range(10_000):
        value = [value]

    for encode in ENCODERS:
        with pytest.raises(BadJson):
            encode(value)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (2**53, b"9007199254740992"),
        (-(2**70), b"-1180591620717411303424"),
        (50.57, b"50.57"),
        ([1.0, -3.0], b"[1,-3]"),
        (-0.0, b"0"),
        (2.0**53, b"9007199254740992.0"),
        ({"b": 1e300, "a": 5e-7}, b'{"a":5e-07,"b":1e+300}'),
    ],
)
def test_old_room_versions_take_other_numbers(value: object, encoded: bytes) -> None:
    assert encode_canonical_lenient(value) == encoded


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, "\ud800", {"\ud800": 1}, b"bytes", {1: 2, "a": 3}]
)
def test_old_room_versions_do_not_take_everything(value: object) -> None:
    with pytest.raises(BadJson):
        encode_canonical_lenient(value)


@given(JSON_VALUES)
def test_canonical_json_is_stable(value: object) -> None:
    canonical = encode_canonical(value)

    assert parse_json(canonical) == value
    assert encode_canonical(parse_json(canonical)) == canonical
    assert encode_canonical_lenient(value) == canonical


@given(st.floats())
def test_no_float_is_canonical(number: float) -> None:
    with pytest.raises(BadJson):
        check_canonical({"a": [number]})
