"""Tokens that hold what they stand for, and that clients never look into. Pure."""

import base64
import binascii
from typing import TypeVar

import msgspec

from tremula.protocol.errors import InvalidParam

T = TypeVar("T", bound=msgspec.Struct)


def format_token(value: msgspec.Struct) -> str:
    """The token for clients."""
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode()


def parse_token(raw: str, value_type: type[T]) -> T:
    """What `format_token` was given.

    Raises:
        InvalidParam: *raw* is no such token.
    """
    try:
        return msgspec.json.decode(base64.b64decode(raw, b"-_", True), type=value_type)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise InvalidParam("not a token of this server") from None
