"""Regular expressions of application services, and which of many may match a text.

They come from operators and clients, so that RE2 matches them, in time linear in the
text. A text matches if it begins with a match: `@irc_.*` and `@irc_` are the same.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Generic, Protocol, TypeVar

import re2  # type: ignore[import-untyped]  # it ships no types

from tremula.protocol.errors import InvalidParam

V = TypeVar("V")

# Of one compiled expression with what it remembers of texts; and how many are kept.
# All others are compiled when a text begins as they do, in some 50 µs.
_COMPILED_BYTES_MAX: Final = 128 * 1024
_COMPILED_MAX: Final = 512

# One character that stands for itself: as it is, or behind a backslash.
_LITERAL: Final = re.compile(r"\\([!-/:-@\[-`{-~])|([^\\.\[\](){}|*+?^$])")
_OPTIONAL: Final = frozenset("*?{")


class Pattern:
    """A regular expression; ``prefix`` is what every text that matches begins with."""

    __slots__ = ("_regex", "prefix")

    def __init__(self, regex: str) -> None:
        self.prefix = literal_prefix(regex)
        # The usual form, `@irc_.*`, needs nothing else: RE2 would take 30 µs.
        is_all = regex in {self.prefix, f"{self.prefix}.*"}
        self._regex = None if is_all else regex

    def matches(self, text: str) -> bool:
        """Whether *text* begins with a match."""
        return text.startswith(self.prefix) and (
            self._regex is None or _compiled(self._regex).match(text) is not None
        )


def check_regex(regex: str) -> None:
    """Refuse what is no regular expression, or takes too much memory.

    Raises:
        InvalidParam: that is so; look-around and back references are none.
    """
    try:
        _compile(regex)
    except re2.error as error:
        [reason] = error.args
        problem = reason.decode() if isinstance(reason, bytes) else reason
        raise InvalidParam(f"not a regular expression of RE2: {problem}") from None


def literal_prefix(regex: str) -> str:
    """A text that each match of *regex* begins with, as long as is easily seen."""
    if "|" in regex:
        return ""
    chars: list[str] = []
    pos = 1 if regex.startswith("^") else 0
    while literal := _LITERAL.match(regex, pos):
        pos = literal.end()
        if regex[pos : pos + 1] in _OPTIONAL:
            break
        chars.append(literal[1] or literal[2])
    return "".join(chars)


class PrefixIndex(Generic[V]):
    """Finds the values of all prefixes of a text, whatever their number."""

    __slots__ = ("_by_prefix", "_lengths")

    def __init__(self) -> None:
        self._by_prefix: dict[str, list[V]] = {}
        self._lengths: dict[int, int] = {}

    def add(self, prefix: str, value: V) -> None:
        """Let *value* be found by texts that begin with *prefix*."""
        values = self._by_prefix.get(prefix)
        if values is None:
            values = self._by_prefix[prefix] = []
            length = len(prefix)
            self._lengths[length] = self._lengths.get(length, 0) + 1
        values.append(value)

    def remove(self, prefix: str, value: V) -> None:
        """Undo one `add`."""
        values = self._by_prefix[prefix]
        values.remove(value)
        if values:
            return
        del self._by_prefix[prefix]
        length = len(prefix)
        self._lengths[length] -= 1
        if not self._lengths[length]:
            del self._lengths[length]

    def candidates(self, text: str) -> Iterator[V]:
        """The values of the prefixes of *text*; one may come several times."""
        for length in self._lengths:
            if length <= len(text):
                yield from self._by_prefix.get(text[:length], ())


class _Compiled(Protocol):
    """What RE2 makes of a regular expression; the library has no types."""

    def match(self, text: str) -> object | None: ...


@lru_cache(maxsize=_COMPILED_MAX)
def _compiled(regex: str) -> _Compiled:
    return _compile(regex)


def _compile(regex: str) -> _Compiled:
    options = re2.Options()
    options.max_mem = _COMPILED_BYTES_MAX
    options.log_errors = False
    options.never_capture = True
    options.dot_nl = True
    compiled: _Compiled = re2.compile(regex, options)
    return compiled
