"""Named parameters and lists in SQL text, for both engines.

A text is translated once and remembered; texts are literals, so there are few.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Final

import orjson
from msgspec import Struct

from tremula.infra.db.errors import InvalidValue
from tremula.infra.db.unit import Params

LIST_MAX: Final = 500

# Strings, quoted names, comments and casts are skipped; what is left of colons names
# a parameter.
_TOKEN: Final = re.compile(
    r"""
      '[^']*' | "[^"]*" | --[^\n]* | /\*.*?\*/ | ::
    | \b(?P<not>NOT\s+)?IN\s+:(?P<list>[a-z_][a-z0-9_]*)
    | :(?P<name>[a-z_][a-z0-9_]*)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_JSON_LIST: Final = "IN (SELECT value FROM json_each(:{name}))"
_TABLE: Final = re.compile(
    r"^\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(\w+)", re.IGNORECASE
)
_READS: Final = re.compile(r"\b(?:SELECT|RETURNING|WITH)\b", re.IGNORECASE)


class SqliteText(Struct, frozen=True):
    """A statement as SQLite takes it; ``lists`` are bound as JSON arrays."""

    sql: str
    lists: tuple[str, ...]

    def bind(self, params: Params) -> Params:
        """The parameters in the form that apsw binds.

        Raises:
            InvalidValue: a text holds NUL (as PostgreSQL would say), or a list is too
                long or not of integers and strings.
        """
        for value in params.values():
            if isinstance(value, str) and "\0" in value:
                raise InvalidValue("a text must not contain NUL")
        if not self.lists:
            return params
        return {**params, **{name: _json(params[name]) for name in self.lists}}


class PostgresText(Struct, frozen=True):
    """A statement as PostgreSQL takes it, with ``$n`` for the parameters."""

    sql: str
    lists: tuple[str, ...]
    arguments: Callable[[Params], Sequence[object]]

    def bind(self, params: Params) -> Sequence[object]:
        """The parameters in order of their numbers."""
        for name in self.lists:
            _check_list(params[name])
        return self.arguments(params)


class Effect(Struct, frozen=True):
    """What a statement touches: ``table`` is None where only its place is safe.

    Statements on different tables may change places; one that also reads may not.
    """

    table: str | None


@cache
def sqlite_text(sql: str) -> SqliteText:
    """Translate *sql* for SQLite."""
    lists: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name = match["list"]
        if name is None:
            return match[0]
        lists.append(name)
        negation = match["not"] or ""
        return negation + _JSON_LIST.format(name=name)

    return SqliteText(_TOKEN.sub(replace, sql), tuple(lists))


@cache
def postgres_text(sql: str) -> PostgresText:
    """Translate *sql* for PostgreSQL."""
    numbers: dict[str, int] = {}
    lists: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name = match["list"] or match["name"]
        if name is None:
            return match[0]
        number = numbers.setdefault(name, len(numbers) + 1)
        if match["name"]:
            return f"${number}"
        lists.append(name)
        return f"<> ALL(${number})" if match["not"] else f"= ANY(${number})"

    text = _TOKEN.sub(replace, sql)
    return PostgresText(text, tuple(lists), _picker(tuple(numbers)))


@cache
def effect_of(sql: str) -> Effect:
    """What *sql* touches, read from its text."""
    match = _TABLE.match(sql)
    if match is None or _READS.search(sql):
        return Effect(table=None)
    return Effect(table=match[1].lower())


def _picker(names: tuple[str, ...]) -> Callable[[Params], Sequence[object]]:
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
