"""Stream tokens: exactly what we wrote, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.infra.tokens import StreamToken
from tremula.protocol.errors import InvalidParam


@pytest.mark.parametrize(
    ("raw", "token"),
    [
        ("s0", StreamToken(0)),
        ("s123", StreamToken(123)),
        ("s9007199254740991", StreamToken(2**53 - 1)),
        ("s123_100", StreamToken(123, device_pos=100)),
        ("s1_0", StreamToken(1, device_pos=0)),
    ],
)
def test_a_token_is_read_as_it_was_written(raw: str, token: StreamToken) -> None:
    assert StreamToken.parse(raw) == token
    assert str(token) == raw


@pytest.mark.parametrize(
    "raw",
    [
        *("", "s", "123", "t123", "S123", "s-1", "s+1", "s1.5", "s1e3", "s01", "s 1"),
        *("s1 ", "s1\n", "\0", "s٣", "s9007199254740992", "s" + "9" * 5_000, "s1_000"),
        *("s1~", "s1~2.5", "s1_", "s1.2", "s1_1", "s1_2", "s5_01", "s5_1_2", "s5_-1"),
        *(None, 1, 1.5, True, b"s1", ["s1"], {"s": 1}),
    ],
)
def test_garbage_is_refused(raw: object) -> None:
    with pytest.raises(InvalidParam):
        StreamToken.parse(raw)


@given(st.text())
def test_any_text_is_a_token_or_is_refused(raw: str) -> None:
    try:
        token = StreamToken.parse(raw)
    except InvalidParam:
        return
    assert str(token) == raw


@given(st.integers(0, 2**53 - 1))
def test_every_token_survives_the_way_to_a_client_and_back(pos: int) -> None:
    assert StreamToken.parse(str(StreamToken(pos))) == StreamToken(pos)
