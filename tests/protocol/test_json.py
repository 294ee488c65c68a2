"""Strict JSON from outside (HOSTILE "Parsers")."""

import json
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import JSON_VALUES
from tremula.protocol.errors import NotJson
from tremula.protocol.json import encode_to_keep, parse_json, parse_json_exact


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b"[]", []),
        (b"null", None),
        (b' {"a" : 1} ', {"a": 1}),
        (b'{"a":"b:c","d":"https://e"}', {"a": "b:c", "d": "https://e"}),
        (b'{"a":":b"}', {"a": ":b"}),
        (b'{"a":"\\":"}', {"a": '":'}),
        (b'{"":{"":1}}', {"": {"": 1}}),
        (b'[{"a":1},{"a":2}]', [{"a": 1}, {"a": 2}]),
        (b'{"a":"{"}', {"a": "{"}),
        (b'["{"]', ["{"]),
        (b'{"a":1e10,"b":-0}', {"a": 1e10, "b": 0}),
        # Keys that differ only in their normal form are different keys.
        ('{"\u00e9":1,"e\u0301":2}'.encode(), {"\u00e9": 1, "e\u0301": 2}),
        (b'{"a":"\\u2028\\ud83d\\ude00"}', {"a": "\u2028😀"}),
        (b'{"a":"\x7f"}', {"a": "\x7f"}),
    ],
)
def test_json_is_parsed(raw: bytes, value: object) -> None:
    assert parse_json(raw) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{}x",
        b"[1,]",
        b"{'a':1}",
        b"{a:1}",
        b"01",
        b"+1",
        b"1.",
        b"0x1",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e400",
        b"-1e400",
        b"[\xef\xbb\xbf]",
        "{}".encode("utf-16-le"),
        b"9" * 5000,
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'"\xc0\xaf"',
        b'"\xc0\x80"',
        b'"\xe0\x80\xaf"',
        b'"\xf0\x80\x80\xaf"',
        b'"\xf4\x90\x80\x80"',
        b'"\xe6\x97"',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\ud800":1}',
        b'"\x00"',
        b'"\n"',
        b'"\\x41"',
        b"[1]//",
        b"{} {}",
    ],
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(NotJson):
        parse_json(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a" :1,"a":2}',
        b'{"a"\n:1,"a":2}',
        b'{"a"\t:1,"a":2}',
        b'{"a"\r:1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"a" :1,"a":":x"}',
        b'{"":1,"":2}',
        b'[[{"b":{"a":1,"a":2}}]]',
        b'{"a":{"b":1},"a":{}}',
        b'{"a":[1,2],"a":":"}',
        b'{"a":{"b":1,"b":2},"c":"::"}',
        b'{"a":{"b":1,"b":2},"c":"\\u003a"}',
        b'{"a":{"b":1,"b":2},"c":"\\u003A"}',
    ],
)
def test_a_duplicate_key_is_refused(raw: bytes) -> None:
    with pytest.raises(NotJson, match="twice"):
        parse_json(raw)


@pytest.mark.parametrize("innermost", [b"", b"1", b'"["'])
def test_the_depth_is_limited(innermost: bytes) -> None:
    deepest = b"[" * 100 + innermost + b"]" * 100

    assert orjson.dumps(parse_json(deepest)) == deepest
    with pytest.raises(NotJson, match="deeper"):
        parse_json(b"[" + deepest + b"]")


def test_the_depth_counts_objects_and_arrays_alike() -> None:
    raw = b'{"a":[{"b":[1]}]}'

    assert parse_json(raw, depth_max=4) == {"a": [{"b": [1]}]}
    with pytest.raises(NotJson):
        parse_json(raw, depth_max=3)


@pytest.mark.parametrize("depth", [1_000, 10_000, 1_000_000])
def test_absurd_depths_are_refused(depth: int) -> None:
    with pytest.raises(NotJson):
        parse_json(b"[" * depth + b"]" * depth)
    with pytest.raises(NotJson):
        parse_json(b'{"a":' * depth + b"1" + b"}" * depth)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert parse_json(b"[" + b"[],{}," * 1000 + b"0]") == [[], {}] * 1000 + [0]


@given(JSON_VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_whatever_json_writes_is_read(
    value: object, escape: bool, indent: int | None
) -> None:
    raw = json.dumps(value, ensure_ascii=escape, indent=indent).encode()

    assert parse_json(raw) == value


@given(st.dictionaries(st.text(max_size=3), JSON_VALUES, min_size=1), st.data())
def test_any_repeated_key_is_found(
    value: dict[str, object], data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(sorted(value)))
    separators = data.draw(st.sampled_from([(",", ":"), (", ", ": "), (",", " :")]))
    raw = json.dumps(value, separators=separators)
    repeated = f"{raw[:-1]},{json.dumps(key)}{separators[1]}0}}"

    with pytest.raises(NotJson):
        parse_json(repeated.encode())


@pytest.mark.parametrize("integer", [2**64, -(2**64), 10**100, 2**64 - 1, 12])
def test_integers_of_any_size_can_be_kept(integer: int) -> None:
    assert parse_json_exact(b'{"a":[%d]}' % integer) == {"a": [integer]}


def test_exact_parsing_is_as_strict() -> None:
    for raw in (
        b'{"a":1,"a":18446744073709551616}',
        b"[" * 5 + b"18446744073709551616" + b"]" * 5,
        b"[%s]" % (b"9" * 5_000),
    ):
        with pytest.raises(NotJson):
            parse_json_exact(raw, depth_max=4)


@given(JSON_VALUES)
def test_exact_parsing_changes_nothing_else(value: object) -> None:
    raw = json.dumps([value, "12345678901234567890"]).encode()

    assert parse_json_exact(raw) == [value, "12345678901234567890"]


def test_what_is_kept_takes_no_more_memory_than_it_has_to() -> None:
    """orjson's own result of a few bytes keeps 4 KB: a million of them are 4 GB."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [encode_to_keep({"number": number}) for number in range(100)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept[7] == b'{"number":7}'
    assert after - before < 100 * 200
