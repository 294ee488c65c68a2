"""The parameters of a query string."""

import re
from typing import overload
from urllib.parse import unquote_to_bytes

from tremula.protocol.errors import InvalidParam, MissingParam

# The methods `int` and `bool` hide the types from annotations beside them.
_Int = int
_Bool = bool

# As many digits as fit a 64-bit integer for certain.
_INTEGER = re.compile(r"-?[0-9]{1,18}")


class Query:
    """Query parameters, decoded; the first one counts where a name is repeated.

    Raises:
        InvalidParam: a name or value is not UTF-8, or contains NUL.
    """

    __slots__ = ("_values",)

    def __init__(self, query_string: bytes) -> None:
        self._values: dict[str, list[str]] = {}
        for pair in query_string.split(b"&"):
            if pair:
                name, _, value = pair.partition(b"=")
                self._values.setdefault(_decode(name), []).append(_decode(value))

    def get(self, name: str) -> str | None:
        """The value of *name*, or None."""
        values = self._values.get(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """Every value of *name*, in order."""
        return self._values.get(name, [])

    def pairs(self) -> list[tuple[str, str]]:
        """Every name with each of its values."""
        return [(name, each) for name in self._values for each in self._values[name]]

    def require(self, name: str) -> str:
        """The value of *name*.

        Raises:
            MissingParam: there is none.
        """
        value = self.get(name)
        if value is None:
            raise MissingParam(f"missing query parameter {name!r}")
        return value

    @overload
    def int(
        self, name: str, *, default: _Int, min: _Int = ..., max: _Int | None = ...
    ) -> _Int: ...
    @overload
    def int(
        self, name: str, *, default: None = ..., min: _Int = ..., max: _Int | None = ...
    ) -> _Int | None: ...
    def int(
        self,
        name: str,
        *,
        default: _Int | None = None,
        min: _Int = 0,  # noqa: A002 - reads well at the call, and is keyword-only
        max: _Int | None = None,  # noqa: A002
    ) -> _Int | None:
        """The integer *name*. More than *max* is cut to *max*.

        How much a client asks for is a wish, so that too much is no error.

        Raises:
            InvalidParam: not an integer, or less than *min*.
        """
        raw = self.get(name)
        if raw is None:
            return default
        if not _INTEGER.fullmatch(raw):
            raise InvalidParam(f"query parameter {name!r} must be an integer")
        value = _Int(raw)
        if value < min:
            raise InvalidParam(f"query parameter {name!r} must be at least {min}")
        return value if max is None or value <= max else max

    def bool(self, name: str, *, default: _Bool = False) -> _Bool:
        """The boolean *name*, ``true`` or ``false``.

        Raises:
            InvalidParam: another word.
        """
        raw = self.get(name)
        if raw is None:
            return default
        if raw not in {"true", "false"}:
            raise InvalidParam(f"query parameter {name!r} must be true or false")
        return raw == "true"


def _decode(raw: bytes) -> str:
    try:
        if b"%" in raw or b"+" in raw:
            raw = unquote_to_bytes(raw.replace(b"+", b" "))
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParam("the query string is not UTF-8") from None
    if "\0" in text:
        raise InvalidParam("the query string contains NUL")
    return text
