"""The environment as a source: ``TREMULA_RATE_LIMITS__ENABLED=false``."""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, cast, get_args, get_origin

from tremula.infra.config.parse import ConfigError, is_table, keys_of, without_none
from tremula.infra.config.tree import Config

CONFIG_VARIABLE = "TREMULA_CONFIG"
"""Names the configuration file; no key."""
LISTEN_VARIABLE = "TREMULA_LISTEN"
"""The environment's form of ``--listen``, separated by commas; no key."""
TOKEN_VARIABLE = "TREMULA_ADMIN_TOKEN"  # noqa: S105 - a name
"""An administrator's access token, for commands that ask a running server; no key."""

_PREFIX = "TREMULA_"
# Kubernetes sets these for a service called "tremula"; they are no keys of ours.
_SERVICE_LINK = re.compile(r"TREMULA_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\w+)?)")


def environment_name(key: str) -> str:
    """The variable that sets *key*: ``a.b_c`` is ``TREMULA_A__B_C``."""
    return _PREFIX + key.replace(".", "__").upper()


def leaf_kinds(kind: Any = Config, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401
    """The type of every key that holds a value, not a table, by its dotted name."""
    leaves: dict[str, Any] = {}
    for name, each in keys_of(kind).items():
        inner = without_none(each)
        if is_table(inner):
            leaves |= leaf_kinds(inner, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = inner
    return leaves


def overlay_environment(
    raw: dict[str, object], environment: Mapping[str, str]
) -> dict[str, str]:
    """Set in *raw* what the environment says; returns ``{key: variable}``.

    Raises:
        ConfigError: a variable names no key, or its value can't be read.
    """
    kinds = leaf_kinds()
    keys = {environment_name(key): key for key in kinds}
    sources: dict[str, str] = {}
    for variable in sorted(filter(_is_key, environment)):
        if variable not in keys:
            close = get_close_matches(variable, keys, n=1)
            hint = f", did you mean {close[0]}?" if close else ""
            raise ConfigError(variable, f"no key has this variable{hint}")
        key = keys[variable]
        value = _value(kinds[key], environment[variable], variable)
        set_key(raw, key, value, source=variable)
        sources[key] = variable
    return sources


def set_key(raw: dict[str, object], key: str, value: object, *, source: str) -> None:
    """Set what stands at the dotted *key* of *raw*; *source* is where it comes from.

    Raises:
        ConfigError: what should be a table is none.
    """
    *parents, name = key.split(".")
    table: Any = raw
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(source, f"{parent} is not a table in the file")
    table[name] = value


def _is_key(variable: str) -> bool:
    return (
        variable.startswith(_PREFIX)
        and variable not in {CONFIG_VARIABLE, LISTEN_VARIABLE, TOKEN_VARIABLE}
        and not _SERVICE_LINK.fullmatch(variable)
    )


def _value(kind: Any, text: str, variable: str) -> object:  # noqa: ANN401
    """Numbers, booleans and lists are written as in TOML, anything else as it is."""
    origin: object = get_origin(kind)
    base = get_args(kind)[0] if origin is Annotated else kind
    if base not in {bool, int, float} and origin is not tuple:
        return text
    try:
        return cast("object", tomllib.loads(f"value = {text}")["value"])
    except tomllib.TOMLDecodeError:
        raise ConfigError(variable, f"is not a TOML value: {text!r}") from None
