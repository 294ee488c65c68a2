"""Tokens that clients give back."""

import msgspec
import pytest

from tremula.protocol.errors import InvalidParam
from tremula.protocol.opaque_tokens import format_token, parse_token


class _Place(msgspec.Struct, array_like=True, frozen=True):
    name: str
    number: int


def test_a_token_comes_back_as_it_was() -> None:
    place = _Place("näme?>", 7)

    assert parse_token(format_token(place), _Place) == place


@pytest.mark.parametrize(
    "raw", ["", "x", "ä", "e30=", "WzFd", "WyJhIiwgImIiXQ==", "=="]
)
def test_garbage_is_no_token(raw: str) -> None:
    with pytest.raises(InvalidParam):
        parse_token(raw, _Place)
