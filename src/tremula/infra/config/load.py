"""Reads the configuration: defaults, then the file, the environment, the flags."""

import os
import re
import ssl
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from msgspec.structs import replace

from tremula.infra.config.environment import (
    LISTEN_VARIABLE,
    overlay_environment,
    set_key,
)
from tremula.infra.config.parse import ConfigError, parse_table
from tremula.infra.config.tree import (
    Appservices,
    Config,
    EmailPolicy,
    Federation,
    Listener,
    Mail,
    PasswordHashing,
    PolicyDocument,
    Registration,
    RegistrationMode,
    SqliteFile,
    Support,
    Turn,
)
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import (
    is_opaque_id,
    is_valid_localpart,
    parse_user_id,
)
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.protocol.signing import is_public_key

_ADDRESS_AND_PORT = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<ipv4>[^:\[\]]+)):(?P<port>[0-9]{1,5})"
)


def load_config(
    file: Path | None,
    environment: Mapping[str, str],
    *,
    flags: Mapping[str, str] | None = None,
    listen: tuple[str, ...] = (),
) -> Config:
    """Put the sources together, the later over the earlier, and check the whole.

    Args:
        file: the TOML file, or None for none.
        environment: of it, only names that start with ``TREMULA_`` are looked at.
        flags: values from the command line, by dotted key.
        listen: ``ADDRESS:PORT`` pairs that replace the configured listeners.

    Raises:
        ConfigError: the first fault that is found.
    """
    raw = _read(file) if file else {}
    sources = overlay_environment(raw, environment)
    for key, value in (flags or {}).items():
        sources[key] = "--" + key.rpartition(".")[2].replace("_", "-")
        set_key(raw, key, value, source=sources[key])
    variable = environment.get(LISTEN_VARIABLE)
    for source, pairs in (
        (LISTEN_VARIABLE, variable.split(",") if variable else ()),
        ("--listen", listen),
    ):
        if pairs:
            raw["listeners"] = [_parse_listen(pair, source) for pair in pairs]
            sources["listeners"] = source
    try:
        config = _resolve(parse_table(Config, raw))
    except ConfigError as error:
        raise _with_source(error, sources) from None
    if config.is_exposed and "server_name" not in raw:
        raise ConfigError(
            "server_name",
            "must be set on a server that others can reach: it is part of every"
            " user's and room's id and can't be changed later",
        )
    return config


def read_example() -> str:
    """A configuration file that shows and explains every key."""
    example = files("tremula.infra.config").joinpath("example.toml")
    return example.read_text(encoding="utf-8")


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(file), f"can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(file), f"is not TOML: {error}") from error


def _parse_listen(pair: str, source: str) -> dict[str, object]:
    match = _ADDRESS_AND_PORT.fullmatch(pair.strip())
    if not match:
        raise ConfigError(source, f"must be ADDRESS:PORT, not {pair!r}")
    return {"address": match["ipv6"] or match["ipv4"], "port": int(match["port"])}


def _with_source(error: ConfigError, sources: Mapping[str, str]) -> ConfigError:
    """Say beside the key where its value came from, unless that is the file."""
    for key, source in sources.items():
        if error.key == key or error.key.startswith((key + ".", key + "[")):
            return ConfigError(f"{error.key} (from {source})", error.problem)
    return error


def _resolve(config: Config) -> Config:
    """Check what concerns several keys, and fill in what follows from others."""
    _check_listeners(config.listeners)
    _check_base_url(config.public_base_url)
    _check_password_hashing(config.password_hashing)
    _check_federation(config.federation)
    _check_ca_file(config.outbound.trusted_ca_file, "outbound.trusted_ca_file")
    _check_mail(config.mail, config.registration)
    for index, document in enumerate(config.registration.terms):
        _check_document(document, f"registration.terms[{index}]")
    if not is_valid_localpart(config.server_notices.localpart):
        raise ConfigError(
            "server_notices.localpart", "must be made of a-z, 0-9 and . _ = - / +"
        )
    _check_appservices(config.appservices)
    _check_turn(config.turn)
    _check_support(config.support)
    for index, url in enumerate(config.rtc.livekit_service_urls):
        _check_url(url, f"rtc.livekit_service_urls[{index}]")
    if config.media.scan_url is not None:
        _check_url(config.media.scan_url, "media.scan_url")
    _check_cluster(config)
    if config.default_room_version not in ROOM_VERSIONS:
        raise ConfigError(
            "default_room_version", "must be one of " + ", ".join(ROOM_VERSIONS)
        )
    return replace(
        config,
        registration=_resolve_registration(
            config.registration, is_exposed=config.is_exposed
        ),
    )


def _check_listeners(listeners: tuple[Listener, ...]) -> None:
    if not listeners:
        raise ConfigError("listeners", "must have at least one listener")
    seen: set[str] = set()
    for index, listener in enumerate(listeners):
        key = f"listeners[{index}]"
        if not _is_address(listener.address):
            raise ConfigError(
                f"{key}.address",
                f'must be an IP address or "localhost", not {listener.address!r}',
            )
        if not listener.apis:
            raise ConfigError(f"{key}.apis", "must name at least one API")
        place = _place_of(listener)
        if place in seen:
            raise ConfigError(key, f"listens on {place} like another listener")
        if place:
            seen.add(place)


def _place_of(listener: Listener) -> str | None:
    """What only one program can listen on; None for any free port."""
    if listener.unix_socket:
        return str(listener.unix_socket)
    return f"{listener.address} port {listener.port}" if listener.port else None


def _is_address(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


def _check_base_url(url: str | None) -> None:
    if url is None:
        return
    _check_url(url, "public_base_url")
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ConfigError("public_base_url", "must have no query and no fragment")


def _check_password_hashing(cost: PasswordHashing) -> None:
    least = 8 * cost.parallelism
    if cost.memory_kib < least:
        raise ConfigError(
            "password_hashing.memory_kib",
            f"must be at least {least}, 8 times the parallelism",
        )


def _check_federation(federation: Federation) -> None:
    key = federation.policy_server_key
    if key is not None and not is_public_key(key):
        raise ConfigError(
            "federation.policy_server_key", "must be an Ed25519 key in Base64"
        )
    denied = {name.lower() for name in federation.denied_servers}
    for index, name in enumerate(federation.allowed_servers or ()):
        if name.lower() in denied:
            raise ConfigError(
                f"federation.allowed_servers[{index}]",
                f"{name} stands in federation.denied_servers as well",
            )


def _check_document(document: PolicyDocument, key: str) -> None:
    for name in ("id", "version"):
        if not is_opaque_id(getattr(document, name)):
            raise ConfigError(
                f"{key}.{name}", "must be 1 to 255 of 0-9 A-Z a-z . _ ~ -"
            )
    _check_url(document.url, f"{key}.url")


def _check_ca_file(file: Path | None, key: str) -> None:
    if file is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        problem = f"{file} is not a PEM file of certificates"
    except OSError as error:
        problem = f"{file} can't be read: {error.strerror}"
    else:
        return
    raise ConfigError(key, problem)


def _check_mail(mail: Mail, registration: Registration) -> None:
    _check_ca_file(mail.trusted_ca_file, "mail.trusted_ca_file")
    if mail.host is not None and mail.sender is None:
        raise ConfigError("mail.sender", "is missing: what mail comes from")
    if mail.host is None and registration.email is EmailPolicy.REQUIRED:
        raise ConfigError(
            "registration.email", 'is "required", but there is no mail.host'
        )
    if (mail.username is None) != (mail.password is None):
        missing = "username" if mail.username is None else "password"
        raise ConfigError(f"mail.{missing}", "is missing: both are needed, or neither")


def _check_appservices(appservices: Appservices) -> None:
    seen: set[str] = set()
    for index, registration in enumerate(appservices.files):
        for name in ("id", "as_token"):
            value = f"{name} {getattr(registration, name)}"
            if value in seen:
                raise ConfigError(
                    f"appservices.files[{index}]", f"has the {name} of another file"
                )
            seen.add(value)


def _check_turn(turn: Turn) -> None:
    for index, uri in enumerate(turn.uris):
        if not uri.startswith(("turn:", "turns:", "stun:", "stuns:")):
            raise ConfigError(f"turn.uris[{index}]", f"must be turn:…, not {uri!r}")
    if (turn.username is None) != (turn.password is None):
        missing = "username" if turn.username is None else "password"
        raise ConfigError(f"turn.{missing}", "is missing: both are needed, or neither")


def _check_support(support: Support) -> None:
    if support.page is not None:
        _check_url(support.page, "support.page")
    for index, contact in enumerate(support.contacts):
        if contact.matrix_id is None and contact.email_address is None:
            raise ConfigError(
                f"support.contacts[{index}]", "needs a matrix_id or an email_address"
            )
        if contact.matrix_id is not None:
            _check_user_id(contact.matrix_id, f"support.contacts[{index}].matrix_id")


def _check_user_id(user_id: str, key: str) -> None:
    try:
        parse_user_id(user_id)
    except InvalidParam:
        raise ConfigError(key, f"must be a user ID, not {user_id!r}") from None


def _check_url(url: str, key: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(key, f"must be an http(s) URL, not {url!r}")


def _check_cluster(config: Config) -> None:
    cluster = config.cluster
    _check_ca_file(cluster.bus_ca_file, "cluster.bus_ca_file")
    file = cluster.bus_credentials_file
    if file is not None and not os.access(file, os.R_OK):
        raise ConfigError("cluster.bus_credentials_file", f"{file} can't be read")
    if cluster.bus is not None and isinstance(config.database, SqliteFile):
        raise ConfigError(
            "cluster.bus",
            "is for several processes, which share a PostgreSQL database; set database"
            ' to "postgresql://…" or leave out the bus',
        )


def _resolve_registration(
    registration: Registration, *, is_exposed: bool
) -> Registration:
    """Nobody opens a server to the world by accident."""
    if registration.mode is None:
        mode = RegistrationMode.TOKEN if is_exposed else RegistrationMode.OPEN
        return replace(registration, mode=mode)
    if (
        registration.mode is RegistrationMode.OPEN
        and is_exposed
        and not registration.allow_open_to_the_world
    ):
        raise ConfigError(
            "registration.mode",
            'is "open" on a server that others can reach; if anyone may make accounts'
            " here, set registration.allow_open_to_the_world = true as well",
        )
    return registration
