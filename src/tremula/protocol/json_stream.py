"""A large JSON object read while it comes, without ever having all of it in memory.

Each element of its arrays, and each other member, is handed out as bytes, to be parsed
by whoever wants them. What lies between them is checked here, so that the object as a
whole is strict JSON if all that was handed out is.
"""

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from tremula.protocol.errors import NotJson
from tremula.protocol.json import parse_json

# What does not matter up to the next bracket or comma, or to a string without an end.
# What may come next is always told by one byte, so that none of them looks twice. Not
# with possessive groups, which match wrongly before Python 3.11.5 (gh-106052).
_STRING: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_UP_TO_COMMA: Final = re.compile(rb'(?:[^"{}\[\],]+|' + _STRING + rb")*", re.DOTALL)
_UP_TO_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]+|' + _STRING + rb")*", re.DOTALL)
# `"key" :` before a value.
_KEY: Final = re.compile(
    rb"[ \t\r\n]*(" + _STRING + rb")[ \t\r\n]*:[ \t\r\n]*", re.DOTALL
)
_SPACE: Final = b" \t\r\n"
_OPENING: Final = frozenset(b"{[")
_CLOSING: Final = frozenset(b"}]")
_COMMA, _QUOTE, _BRACE, _BRACKET = b',"{['
_KEYS_MAX: Final = 100


class Piece(Struct, frozen=True):
    """One value: an element of the array at ``key`` if ``is_element``."""

    key: str
    raw: bytes
    is_element: bool


class ObjectReader:
    """Takes an object in pieces; ``close`` at its end.

    Both methods raise `NotJson` for what is no object, repeats a key, or has a value
    larger than *value_bytes_max*. A value of which a little comes each time is looked
    at each time: feed it some kilobytes at once.
    """

    def __init__(self, *, value_bytes_max: int) -> None:
        self._value_bytes_max = value_bytes_max
        self._buffer = bytearray()
        # Where the current value begins, and up to where the buffer was looked at.
        self._start = 0
        self._seen = 0
        self._depth = 0
        self._array: str | None = None
        # After the first element of an array, or an array among the members.
        self._has_elements = False
        self._is_after_array = False
        self._is_finished = False
        self._keys: set[str] = set()

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The values that *chunk* completes."""
        self._buffer += chunk
        while not self._is_finished:
            at = self._next_token()
            if at is None:
                break
            self._seen = at + 1
            yield from self._take(self._buffer[at], at)
        del self._buffer[: self._start]
        self._seen -= self._start
        self._start = 0
        if len(self._buffer) > self._value_bytes_max:
            raise NotJson(f"a value is larger than {self._value_bytes_max} bytes")

    def close(self) -> None:
        """Check that the object has ended, and nothing has come after it."""
        if not self._is_finished or self._buffer.strip(_SPACE):
            raise NotJson("not a whole JSON object")

    def _next_token(self) -> int | None:
        """Where the next bracket is, or comma between values."""
        is_between = self._depth <= self._depth_of_values
        ignored = _UP_TO_COMMA if is_between else _UP_TO_BRACKET
        match = ignored.match(self._buffer, self._seen)
        assert match is not None, "it matches what is empty"
        self._seen = match.end()
        if self._seen == len(self._buffer) or self._buffer[self._seen] == _QUOTE:
            return None
        return self._seen

    @property
    def _depth_of_values(self) -> int:
        return 1 if self._array is None else 2

    def _take(self, token: int, at: int) -> Iterator[Piece]:
        if token in _OPENING:
            self._open(token, at)
            return
        if self._depth == 0:
            raise NotJson("not a JSON object")
        if self._depth == self._depth_of_values:
            raw = bytes(self._buffer[self._start : at]).strip(_SPACE)
            self._start = at + 1
            if self._array is None:
                yield from self._member(raw, is_last=token != _COMMA)
            else:
                yield from self._element(self._array, raw, is_last=token != _COMMA)
            self._close_values(token)
        if token in _CLOSING:
            self._depth -= 1

    def _open(self, token: int, at: int) -> None:
        before = bytes(self._buffer[self._start : at])
        if self._depth == 0:
            if token != _BRACE or before.strip(_SPACE):
                raise NotJson("not a JSON object")
            self._start = at + 1
        elif self._depth == 1 and token == _BRACKET:
            self._array = self._new_key(before)
            self._has_elements = False
            self._start = at + 1
        self._depth += 1

    def _close_values(self, token: int) -> None:
        if token == _COMMA:
            return
        if token != (b"}" if self._array is None else b"]")[0]:
            raise NotJson("a bracket closes another one")
        self._is_finished = self._array is None
        self._is_after_array = self._array is not None
        self._array = None

    def _element(self, key: str, raw: bytes, *, is_last: bool) -> Iterator[Piece]:
        if raw:
            yield Piece(key, raw, is_element=True)
        elif self._has_elements or not is_last:
            raise NotJson("an element is missing")
        self._has_elements = True

    def _member(self, raw: bytes, *, is_last: bool) -> Iterator[Piece]:
        if self._is_after_array:
            self._is_after_array = False
            if raw:
                raise NotJson("something follows an array")
            return
        if not raw and is_last and not self._keys:
            return
        match = _KEY.match(raw)
        if match is None:
            raise NotJson("a member is missing")
        yield Piece(self._new_key(match[0]), raw[match.end() :], is_element=False)

    def _new_key(self, raw: bytes) -> str:
        match = _KEY.fullmatch(raw)
        key = parse_json(match[1]) if match else None
        if not isinstance(key, str):
            raise NotJson("a key is missing")
        if key in self._keys or len(self._keys) >= _KEYS_MAX:
            raise NotJson("a key is repeated, or there are too many")
        self._keys.add(key)
        return key
