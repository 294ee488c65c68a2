"""Named parameters and lists in SQL text, for both engines.

A text is translated once and remembered; texts are literals, so there are few. Engines
get it without comments and indentation, and its parameters by number: SQLite hashes the
text, and looks names up one by one, each time that it runs.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Final, TypeGuard, cast

import orjson
from msgspec import Struct

from tremula.infra.db.errors import InvalidValue
from tremula.infra.db.unit import Params

LIST_MAX: Final = 500

# Strings, quoted names and casts are skipped; what is left of colons names a parameter.
_TOKEN: Final = re.compile(
    r"""
      '[^']*' | "[^"]*" | ::
    | (?P<blank>(?:\s | --[^\n]* | /\*.*?\*/)+)
    | \b(?P<not>NOT\s+)?IN\s+:(?P<list>[a-z_][a-z0-9_]*)
    | :(?P<name>[a-z_][a-z0-9_]*)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_TABLE: Final = re.compile(
    r"^\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(\w+)", re.IGNORECASE
)
_Arguments = Callable[[Params], Sequence[object]]
_is_text: Final = cast("Callable[[object], TypeGuard[str]]", str.__instancecheck__)
# What may begin with WITH may also change something.
_QUERY: Final = re.compile(r"\s*SELECT\b", re.IGNORECASE)
_READ: Final = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)", re.IGNORECASE)
# Tables in a row, or named by the statement itself.
_UNCLEAR: Final = re.compile(
    r"\bFROM\s+\w+(?:\s+(?:AS\s+)?\w+)?\s*,|\bWITH\b(?!\s+ORDINALITY)",
    re.IGNORECASE,
)


class SqliteText(Struct, frozen=True):
    """A statement as SQLite takes it; ``lists`` are bound as JSON arrays.

    ``is_query``: it certainly changes nothing.
    """

    sql: str
    lists: tuple[str, ...]
    arguments: _Arguments
    is_query: bool

    def bind(self, params: Params) -> Sequence[object]:
        """The parameters in order of their numbers.

        Raises:
            InvalidValue: a text holds NUL (as PostgreSQL would say), or a list is too
                long or not of integers and strings.
        """
        if self.lists:
            params = {**params, **{name: _json(params[name]) for name in self.lists}}
        values = self.arguments(params)
        # One look at all texts: a loop over them costs a third of what the INSERT does.
        if "\0" in "".join(filter(_is_text, values)):
            raise InvalidValue("a text must not contain NUL")
        return values


class PostgresText(Struct, frozen=True):
    """A statement as PostgreSQL takes it; ``lists`` are bound as arrays."""

    sql: str
    lists: tuple[str, ...]
    arguments: _Arguments

    def bind(self, params: Params) -> Sequence[object]:
        """The parameters in order of their numbers."""
        for name in self.lists:
            _check_list(params[name])
        return self.arguments(params)


class Effect(Struct, frozen=True):
    """What a statement touches: the ``table`` that it writes, and others (or functions)
    that it ``reads``. None where that can't be told.
    """

    table: str | None
    reads: frozenset[str] = frozenset()


@cache
def sqlite_text(sql: str) -> SqliteText:
    """Translate *sql* for SQLite."""
    found = _translated(
        sql,
        name="?{}",
        within="IN (SELECT value FROM json_each(?{}))",
        without="NOT IN (SELECT value FROM json_each(?{}))",
    )
    is_query = _QUERY.match(found.sql) is not None
    return SqliteText(found.sql, found.lists, found.arguments, is_query)


@cache
def postgres_text(sql: str) -> PostgresText:
    """Translate *sql* for PostgreSQL."""
    found = _translated(sql, name="${}", within="= ANY(${})", without="<> ALL(${})")
    return PostgresText(found.sql, found.lists, found.arguments)


@cache
def effect_of(sql: str) -> Effect:
    """What *sql* touches, read from its text."""
    match = _TABLE.match(sql)
    if match is None or _UNCLEAR.search(sql):
        return Effect(table=None)
    table = match[1].lower()
    reads = {found.lower() for found in _READ.findall(sql)}
    return Effect(table, frozenset(reads - {table}))


class _Translated(Struct, frozen=True):
    sql: str
    lists: tuple[str, ...]
    arguments: _Arguments


def _translated(sql: str, *, name: str, within: str, without: str) -> _Translated:
    """*sql* with numbers in these places for a parameter, and for a list that something
    is in, or not in.
    """
    numbers: dict[str, int] = {}
    lists: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match["blank"]:
            return " "
        key = match["list"] or match["name"]
        if key is None:
            return match[0]
        number = numbers.setdefault(key, len(numbers) + 1)
        if match["name"]:
            return name.format(number)
        lists.append(key)
        return (without if match["not"] else within).format(number)

    text = _TOKEN.sub(replace, sql).strip()
    return _Translated(text, tuple(lists), _picker(tuple(numbers)))


def _picker(names: tuple[str, ...]) -> _Arguments:
    if not names:
        return _no_arguments
    if len(names) == 1:
        (name,) = names
        return lambda params: (params[name],)
    return itemgetter(*names)


def _no_arguments(_: Mapping[str, object]) -> Sequence[object]:
    return ()


def _json(values: object) -> str:
    _check_list(values)
    try:
        return orjson.dumps(values).decode()
    except TypeError as error:
        raise InvalidValue(f"a list of values that can't be bound: {error}") from error


def _check_list(values: object) -> None:
    if not isinstance(values, list | tuple):
        raise TypeError(f"IN takes a list, not {type(values).__name__}")
    if len(values) > LIST_MAX:
        raise InvalidValue(f"a list of {len(values)} values; at most {LIST_MAX}")
