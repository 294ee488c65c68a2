"""Reading a large JSON object while it comes."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.errors import NotJson
from tremula.protocol.json import parse_json
from tremula.protocol.json_stream import ObjectReader

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner)
    ),
    max_leaves=20,
)


def read(
    raw: bytes, *, step: int = 7, value_bytes_max: int = 1000
) -> dict[str, object]:
    """The object that all pieces make together, without its empty arrays."""
    reader = ObjectReader(value_bytes_max=value_bytes_max)
    found: dict[str, object] = {}
    for start in range(0, len(raw), step):
        for piece in reader.feed(raw[start : start + step]):
            value = parse_json(piece.raw)
            if piece.is_element:
                elements = found.setdefault(piece.key, [])
                assert isinstance(elements, list)
                elements.append(value)
            else:
                found[piece.key] = value
    reader.close()
    return found


@given(
    value=st.dictionaries(st.text(max_size=5), JSON, max_size=6),
    step=st.integers(1, 200),
    is_indented=st.booleans(),
)
def test_any_object_is_read_whatever_its_pieces(
    value: dict[str, object], step: int, *, is_indented: bool
) -> None:
    raw = orjson.dumps(value, option=orjson.OPT_INDENT_2 if is_indented else None)

    found = read(raw, step=step, value_bytes_max=10_000)

    assert found == {key: each for key, each in value.items() if each != []}


@given(st.binary(max_size=40) | st.text(alphabet='{}[],:"\\ a1', max_size=30))
def test_what_is_read_is_json(raw: bytes | str) -> None:
    encoded = raw.encode() if isinstance(raw, str) else raw
    try:
        found = read(encoded)
    except NotJson:
        return
    parsed = parse_json(encoded)
    assert isinstance(parsed, dict)
    assert found == {key: each for key, each in parsed.items() if each != []}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"1",
        b'"a"',
        b"{",
        b'{"a":1',
        b'{"a":[1}',
        b'{"a":1]',
        b'{"a":[1,]}',
        b'{"a":[,1]}',
        b'{"a":1,}',
        b'{,"a":1}',
        b'{"a":[1] 2}',
        b'{"a":1}{}',
        b'{"a":1} x',
        b'{"a":1,"a":2}',
        b'{"a":[],"a":[]}',
        b'{"a":[],"\\u0061":1}',
        b"{a:1}",
        b'{"a" 1}',
        b'x{"a":1}',
        b'}{"a":1}',
        b'{"a":"b',
        b'{"a"\x0b:1}',
    ],
)
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(NotJson):
        read(raw)


def test_a_value_without_end_is_given_up() -> None:
    with pytest.raises(NotJson, match="larger"):
        read(b'{"a":["' + b"x" * 2000)


def test_more_keys_than_any_answer_has_are_refused() -> None:
    with pytest.raises(NotJson, match="too many"):
        read(orjson.dumps({str(number): 1 for number in range(101)}))
