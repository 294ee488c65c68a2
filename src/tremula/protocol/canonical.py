"""Canonical JSON (Appendices "Canonical JSON")."""

import json
from collections.abc import Collection
from typing import Final

import orjson

from tremula.protocol.errors import BadJson

INTEGER_MAX = 2**53 - 1

_PLAIN: Final[frozenset[type]] = frozenset({str, int, bool, type(None)})
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


def check_canonical(value: object) -> None:
    """Check that *value* can be canonical JSON.

    Raises:
        BadJson: it holds a float, an integer outside of ±(2^53-1), a lone surrogate,
            something that is not JSON, or is nested deeper than 254 levels.
    """
    encode_canonical(value)


def encode_canonical(value: object) -> bytes:
    """The shortest UTF-8 encoding, keys sorted by code point.

    Raises:
        BadJson: as ``check_canonical``.
    """
    _refuse_floats(value)
    try:
        return encode_checked(value)
    except orjson.JSONEncodeError as error:
        raise BadJson(f"not canonical JSON: {error}") from error


def encode_checked(value: object) -> bytes:
    """As ``encode_canonical``, of what can be canonical JSON, as a part of what can.

    A walk over all values costs several times what it takes to encode them.
    """
    return orjson.dumps(value, option=_OPTIONS)


def encode_canonical_lenient(value: object) -> bytes:
    """As ``encode_canonical``, for what room versions 1 to 5 allow besides.

    Integers may be of any size. Floats that are integers within ±(2^53-1) are written
    as such (the Appendices' example with ``1e10``), others as its example code does.

    Raises:
        BadJson: a lone surrogate, NaN, an infinity, or something that is not JSON.
    """
    try:
        return json.dumps(
            _without_integral_floats(value),
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
            sort_keys=True,
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadJson(f"cannot be encoded: {error}") from error


def _refuse_floats(root: object) -> None:
    values = [root]
    # The loop goes on with what it appends: not with texts and the like, which most
    # objects hold alone.
    for value in values:
        if type(value) is float:
            raise BadJson("not canonical JSON: numbers must be integers")
        if type(value) is dict:
            held: Collection[object] = value.values()
        elif type(value) is list:
            held = value
        else:
            continue
        if not _PLAIN.issuperset(map(type, held)):
            values += held


def _without_integral_floats(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_integral_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_integral_floats(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= INTEGER_MAX:
        return int(value)
    return value
