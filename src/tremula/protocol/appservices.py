"""Registrations of application services (AS "Registration")."""

from collections.abc import Mapping
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct, field

from tremula.protocol.errors import InvalidParam, MissingParam
from tremula.protocol.identifiers import UserId, parse_user_id
from tremula.protocol.namespaces import check_regex

REGEX_CHARS_MAX: Final = 1000
NAMESPACES_MAX: Final = 100
PROTOCOLS_MAX: Final = 100

# COMPAT(mautrix): the URL in the files of bridges that are not pushed to.
_BY_WEBSOCKET: Final = "websocket"

_MISSING_FIELD: Final = "Object missing required field "

# It goes into a header.
_Token = Annotated[str, Meta(min_length=1, max_length=1000, pattern="^[!-~]+$")]
_Name = Annotated[str, Meta(min_length=1, max_length=255, pattern="^[^\x00]+$")]


class Namespace(Struct, frozen=True):
    """Users, aliases or rooms that an application service wants to know of."""

    regex: Annotated[str, Meta(max_length=REGEX_CHARS_MAX)]
    exclusive: bool


_Namespaces = Annotated[tuple[Namespace, ...], Meta(max_length=NAMESPACES_MAX)]


class Namespaces(Struct, frozen=True):
    """What an application service is interested in."""

    users: _Namespaces = ()
    aliases: _Namespaces = ()
    rooms: _Namespaces = ()


class Registration(Struct, frozen=True, kw_only=True):
    """An application service as files, databases and answers describe it.

    ``owner`` is a user whom it may act as beside those of its namespaces. Without
    ``push``, it comes for its transactions by a websocket. Without
    ``url_may_be_private`` its URL must lead to the internet: users may ask for
    application services as well.
    """

    id: _Name
    url: Annotated[str, Meta(max_length=2000)] | None
    as_token: _Token
    hs_token: _Token
    sender_localpart: _Name
    namespaces: Namespaces
    protocols: Annotated[tuple[_Name, ...], Meta(max_length=PROTOCOLS_MAX)] = ()
    rate_limited: bool = True
    receive_ephemeral: bool = False
    receives_unstable_ephemeral: bool = field(
        name="de.sorunome.msc2409.push_ephemeral", default=False
    )
    receives_encryption: bool = field(name="org.matrix.msc3202", default=False)
    manages_devices: bool = field(name="io.element.msc4190", default=False)
    owner: UserId | None = None
    push: bool = True
    self_hosted: bool = False
    url_may_be_private: bool = True

    def __repr__(self) -> str:
        """Without the tokens, as it may come into a log."""
        return f"Registration(id={self.id!r})"

    @property
    def receives_ephemeral(self) -> bool:
        """Whether it wants typing notifications, receipts and presence."""
        return self.receive_ephemeral or self.receives_unstable_ephemeral


def parse_registration(raw: object) -> Registration:
    """Check what a file or a request says of an application service.

    Raises:
        InvalidParam, MissingParam: it can't be one; the message names the key.
    """
    registration = _convert(raw)
    check_registration(registration)
    return registration


def check_registration(registration: Registration) -> None:
    """Check what the types leave open.

    Raises:
        InvalidParam: it can't be one; the message names the key.
    """
    _check_url(registration.url)
    # Its server has no say in this grammar.
    parse_user_id(f"@{registration.sender_localpart}:a")
    if registration.owner is not None:
        parse_user_id(registration.owner)
    for kind in ("users", "aliases", "rooms"):
        namespaces: tuple[Namespace, ...] = getattr(registration.namespaces, kind)
        for index, namespace in enumerate(namespaces):
            try:
                check_regex(namespace.regex)
            except InvalidParam as error:
                key = f"namespaces.{kind}[{index}].regex"
                raise InvalidParam(f"{key}: {error.message}") from None


def _convert(raw: object) -> Registration:
    if isinstance(raw, Mapping):
        raw = {key: _without_nulls(raw[key]) for key in raw if _counts(key, raw[key])}
        if raw.get("url") == _BY_WEBSOCKET:
            raw |= {"url": None, "push": False}
    try:
        return msgspec.convert(raw, Registration)
    except msgspec.ValidationError as error:
        message = str(error).replace("`", "'").replace(" - at '$.", " - at '")
        if message.startswith(_MISSING_FIELD):
            raise MissingParam(
                "missing key " + message.removeprefix(_MISSING_FIELD)
            ) from None
        raise InvalidParam(message) from None


def _counts(key: object, value: object) -> bool:
    """Whether a key is there: in YAML, one without a value is null."""
    return value is not None or key == "url"


def _without_nulls(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {key: item for key, item in value.items() if item is not None}


def _check_url(url: str | None) -> None:
    if url is not None and not _is_base_url(url):
        raise InvalidParam("url: must be an http(s) URL without a query, or null")


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and port != 0
        and not parts.query
        and not parts.fragment
    )
