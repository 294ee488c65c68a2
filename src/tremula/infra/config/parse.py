"""From TOML values to the typed tree, saying of every fault which key it is in."""

import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, NoReturn, TypeVar, cast, get_args, get_origin

from msgspec import NODEFAULT, Struct
from msgspec.structs import asdict, fields

from tremula.infra.bus.nats_servers import parse_nats_url
from tremula.infra.config.registrations import BadRegistrationFile, read_registration
from tremula.infra.config.tree import Bounds, BusUrls, PostgresUrl, SqliteFile
from tremula.protocol.appservices import Registration
from tremula.protocol.email_addresses import Mailbox, parse_mailbox
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import ServerName, parse_server_name

_Table = TypeVar("_Table", bound=Struct)
_Kind = Any  # A type expression, which has no type of its own in Python 3.11.


class ConfigError(Exception):
    """A key that can't be used. The message is one line and names the key."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


def parse_table(
    kind: type[_Table], raw: object, key: str = "", base: _Table | None = None
) -> _Table:
    """The struct *kind* out of a TOML table; keys not in it are as in *base*.

    Raises:
        ConfigError: a key is unknown or missing, or its value can't be used.
    """
    if not isinstance(raw, dict):
        _refuse(key, "must be a table", raw)
    table = cast("dict[str, object]", raw)
    kinds = keys_of(kind)
    for name in table:
        if name not in kinds:
            raise ConfigError(_join(key, name), _unknown(name, kinds))
    values = _defaults(kind) if base is None else asdict(base)
    for name in kinds:
        if name not in table and name not in values:
            raise ConfigError(_join(key, name), "is missing")
    for name, value in table.items():
        values[name] = parse_value(
            kinds[name], value, _join(key, name), values.get(name)
        )
    return kind(**values)


def keys_of(kind: _Kind) -> dict[str, _Kind]:
    """The keys of a table and the type of each."""
    return {each.name: each.type for each in fields(kind)}


def is_table(kind: _Kind) -> bool:
    """Whether *kind* has keys of its own in the file."""
    return _is_struct(kind) and kind not in _SCALARS


def _is_struct(kind: _Kind) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def without_none(kind: _Kind) -> _Kind:
    """``X`` of ``X | None``: TOML has no null, a key that is None is left out."""
    members = [member for member in get_args(kind) if member is not NoneType]
    return members[0] if NoneType in get_args(kind) else kind


def parse_value(kind: _Kind, raw: object, key: str, default: object = None) -> object:
    """*raw* as *kind*; of a table, what it leaves out is as in *default*.

    Raises:
        ConfigError: it can't be.
    """
    kind = without_none(kind)
    origin: object = get_origin(kind)
    if kind in _SCALARS:
        return _SCALARS[kind](raw, key)
    if _is_struct(kind):
        return parse_table(kind, raw, key, cast("Struct | None", default))
    if origin is tuple:
        return _parse_list(get_args(kind)[0], raw, key)
    if origin is Annotated:
        base, bounds = get_args(kind)
        return _bounded(parse_value(base, raw, key), bounds, key)
    assert issubclass(kind, StrEnum), f"the tree has a type without a parser: {kind}"
    return _parse_choice(kind, raw, key)


def _defaults(kind: _Kind) -> dict[str, Any]:
    return {
        each.name: each.default
        for each in fields(kind)
        if each.default is not NODEFAULT
    }


def _parse_list(kind: _Kind, raw: object, key: str) -> tuple[object, ...]:
    if not isinstance(raw, list):
        _refuse(key, "must be a list", raw)
    items = cast("list[object]", raw)
    return tuple(
        parse_value(kind, item, f"{key}[{index}]") for index, item in enumerate(items)
    )


def _parse_choice(kind: type[StrEnum], raw: object, key: str) -> StrEnum:
    try:
        return kind(_parse_str(raw, key))
    except ValueError:
        _refuse(key, "must be one of " + ", ".join(f'"{each}"' for each in kind), raw)


def _bounded(value: object, bounds: Bounds, key: str) -> object:
    assert isinstance(value, int | float)
    if not bounds.least <= value <= bounds.most:
        _refuse(key, f"must be from {bounds.least:.16g} to {bounds.most:.16g}", value)
    return value


def _parse_bool(raw: object, key: str) -> bool:
    if not isinstance(raw, bool):
        _refuse(key, "must be true or false", raw)
    return raw


def _parse_int(raw: object, key: str) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool):
        _refuse(key, "must be a whole number", raw)
    return raw


def _parse_float(raw: object, key: str) -> float:
    if not isinstance(raw, int | float) or isinstance(raw, bool):
        _refuse(key, "must be a number", raw)
    if not math.isfinite(raw):
        _refuse(key, "must be a finite number", raw)
    return float(raw)


def _parse_str(raw: object, key: str) -> str:
    if not isinstance(raw, str):
        _refuse(key, "must be a string", raw)
    if not raw or "\x00" in raw:
        _refuse(key, "must be a string that is not empty and has no NUL", raw)
    return raw


def _parse_server_name(raw: object, key: str) -> ServerName:
    try:
        return parse_server_name(raw)
    except InvalidParam:
        _refuse(key, 'must be a server name such as "example.org"', raw)


def _parse_mailbox(raw: object, key: str) -> Mailbox:
    try:
        return parse_mailbox(_parse_str(raw, key))
    except InvalidParam:
        _refuse(key, 'must be an address such as "Example <noreply@example.org>"', raw)


def _parse_network(raw: object, key: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(_parse_str(raw, key))
    except ValueError:
        _refuse(key, 'must be an address or a network such as "10.0.0.0/8"', raw)


def _parse_registration(raw: object, key: str) -> Registration:
    try:
        return read_registration(Path(_parse_str(raw, key)))
    except BadRegistrationFile as error:
        raise ConfigError(key, str(error)) from None


def parse_database(raw: object, key: str) -> SqliteFile | PostgresUrl:
    """Where a database is; *key* is what the text is called in an error.

    Raises:
        ConfigError: it is neither a file of SQLite nor a URL of PostgreSQL.
    """
    text = _parse_str(raw, key)
    scheme, _, rest = text.partition(":")
    if scheme in {"postgresql", "postgres"} and rest.startswith("//"):
        return PostgresUrl(text)
    if scheme == "sqlite" and rest and not rest.startswith("//"):
        return SqliteFile(Path(rest))
    # The value is not repeated: it may hold a password.
    raise ConfigError(key, 'must be "sqlite:FILE" or "postgresql://…"')


def _parse_bus(raw: object, key: str) -> BusUrls:
    urls = tuple(url.strip() for url in _parse_str(raw, key).split(","))
    try:
        for url in urls:
            parse_nats_url(url)
    except ValueError as error:
        # As above, and none of the messages repeats it.
        raise ConfigError(key, str(error)) from None
    return BusUrls(urls)


_SCALARS: Mapping[_Kind, Callable[[object, str], object]] = {
    bool: _parse_bool,
    int: _parse_int,
    float: _parse_float,
    str: _parse_str,
    Path: lambda raw, key: Path(_parse_str(raw, key)),
    ServerName: _parse_server_name,
    Mailbox: _parse_mailbox,
    IPv4Network | IPv6Network: _parse_network,
    SqliteFile | PostgresUrl: parse_database,
    BusUrls: _parse_bus,
    Registration: _parse_registration,
}


def _refuse(key: str, rule: str, raw: object) -> NoReturn:
    shown = {True: "true", False: "false"}.get(raw) if isinstance(raw, bool) else None
    text = shown or repr(raw)
    raise ConfigError(
        key, f"{rule}, not {text if len(text) <= 60 else text[:60] + '…'}"
    )


def _unknown(name: str, kinds: Mapping[str, _Kind]) -> str:
    close = get_close_matches(name, kinds, n=1)
    return f"unknown key, did you mean {close[0]}?" if close else "unknown key"


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
