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
        ("s123~2.130", StreamToken(123, ((2, 130),))),
        ("s123~2.130~10.124", StreamToken(123, ((2, 130), (10, 124)))),
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
        *("s1~", "s1~2", "s1~2.", "s1~2.2~", "s1~02.5", "s1~2.1", "s5~2.4", "s1~2.3.4"),
        *("s1~3.5~2.5", "s1~2.5~2.6", "s1" + "".join(f"~{i}.9" for i in range(65))),
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


@given(
    pos=st.integers(0, 2**52),
    ahead=st.dictionaries(st.integers(1, 999), st.integers(1, 2**52), max_size=8),
)
def test_every_token_survives_the_way_to_a_client_and_back(
    pos: int, ahead: dict[int, int]
) -> None:
    token = StreamToken(
        pos, tuple((writer, pos + ahead[writer]) for writer in sorted(ahead))
    )

    assert StreamToken.parse(str(token)) == token
