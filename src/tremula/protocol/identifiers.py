"""Grammars of the identifiers (Appendices "Identifier Grammar").

``parse_*`` checks what came from outside and gives it its type. IDs made by the
program itself need no parsing: ``UserId(f"@{localpart}:{server_name}")``.
"""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NewType

from tremula.protocol.errors import InvalidParam

UserId = NewType("UserId", str)
RoomId = NewType("RoomId", str)
EventId = NewType("EventId", str)
RoomAlias = NewType("RoomAlias", str)
DeviceId = NewType("DeviceId", str)
ServerName = NewType("ServerName", str)

ID_BYTES_MAX = 255
DEVICE_ID_CHARS_MAX = 255
_PORT_MAX = 65535

_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_DNS_NAME = re.compile(r"[0-9A-Za-z.-]{1,255}")
_PORT = re.compile(r"[0-9]{1,5}")
_LOCALPART = re.compile(r"[a-z0-9._=/+-]+")
_OPAQUE = re.compile(r"[0-9A-Za-z._~-]{1,255}")
_NAMESPACED = re.compile(r"[a-z][a-z0-9._-]{0,254}")
# A SHA-256 in unpadded Base64, either alphabet (RV3 and RV4 "Event IDs").
_HASH = re.compile(r"[A-Za-z0-9+/_-]{43}")
# What can neither be stored nor sent; ":" ends a localpart.
_NOT_IN_TEXT = re.compile("[\x00\ud800-\udfff]")
_NOT_IN_LOCALPART = re.compile("[:\x00\ud800-\udfff]")


def parse_server_name(raw: object) -> ServerName:
    """A host name, IPv4 or ``[IPv6]`` address with an optional port.

    Raises:
        InvalidParam: *raw* does not obey the grammar.
    """
    if not isinstance(raw, str) or not is_valid_server_name(raw):
        raise InvalidParam("not a valid server name")
    return ServerName(raw)


def is_valid_server_name(raw: str) -> bool:
    """Whether *raw* is a server name (Appendices "Server Name")."""
    if raw.startswith("["):
        address, bracket, port = raw[1:].partition("]")
        return bool(
            bracket
            and _is_ipv6(address)
            and (not port or (port[0] == ":" and _is_port(port[1:])))
        )
    host, colon, port = raw.partition(":")
    if colon and not _is_port(port):
        return False
    if _IPV4.fullmatch(host):
        return _is_ipv4(host)
    return _DNS_NAME.fullmatch(host) is not None


# Those of a server's users are few, and are asked about with each of their IDs.
_is_known_server_name: Final = lru_cache(maxsize=1_024)(is_valid_server_name)


def _is_port(raw: str) -> bool:
    return _PORT.fullmatch(raw) is not None and int(raw) <= _PORT_MAX


def _is_ipv4(raw: str) -> bool:
    try:
        IPv4Address(raw)
    except AddressValueError:
        return False
    return True


def _is_ipv6(raw: str) -> bool:
    if not _IPV6.fullmatch(raw):
        return False
    try:
        IPv6Address(raw)
    except AddressValueError:
        return False
    return True


def parse_user_id(raw: object, *, historical: bool = True) -> UserId:
    """``@localpart:domain``, at most 255 bytes.

    *historical* accepts the localparts that servers MUST accept in rooms: any
    characters but ``:`` and NUL, and the empty string. Without it today's grammar
    holds (Appendices "User Identifiers").

    Raises:
        InvalidParam: *raw* does not obey the grammar.
    """
    user_id = _with_domain(raw, sigil="@", what="user ID")
    if not historical and not is_valid_localpart(localpart_of(user_id)):
        raise InvalidParam("not a valid user ID: characters that are not allowed")
    return UserId(user_id)


def is_valid_localpart(localpart: str) -> bool:
    """Whether a new user may have this localpart: ``a-z0-9._=-/+``, not empty."""
    return _LOCALPART.fullmatch(localpart) is not None


def is_compliant_user_id(user_id: str) -> bool:
    """Whether the localpart is within U+0021 to U+007E and not empty.

    Others SHOULD NOT be shown to clients outside of events (Appendices
    "Historical User IDs").
    """
    localpart = localpart_of(user_id)
    return bool(localpart) and all("!" <= char <= "~" for char in localpart)


def parse_room_id(raw: object) -> RoomId:
    """``!opaque_id:domain``, or ``!`` and a hash from room version 12 on.

    Raises:
        InvalidParam: *raw* obeys neither grammar.
    """
    if isinstance(raw, str) and raw[:1] == "!" and _HASH.fullmatch(raw, 1):
        return RoomId(raw)
    return RoomId(_with_domain(raw, sigil="!", what="room ID"))


def parse_room_alias(raw: object) -> RoomAlias:
    """``#localpart:domain``, at most 255 bytes.

    Raises:
        InvalidParam: *raw* does not obey the grammar.
    """
    return RoomAlias(_with_domain(raw, sigil="#", what="room alias"))


def parse_event_id(raw: object) -> EventId:
    """``$opaque_id:domain``, or ``$`` and a hash from room version 3 on.

    Raises:
        InvalidParam: *raw* obeys neither grammar.
    """
    if isinstance(raw, str) and raw[:1] == "$" and _HASH.fullmatch(raw, 1):
        return EventId(raw)
    return EventId(_with_domain(raw, sigil="$", what="event ID"))


def parse_device_id(raw: object) -> DeviceId:
    """A device ID: any text, not empty, of at most 255 characters.

    Raises:
        InvalidParam: *raw* is something else.
    """
    if not isinstance(raw, str) or not 0 < len(raw) <= DEVICE_ID_CHARS_MAX:
        raise InvalidParam("not a valid device ID")
    if _NOT_IN_TEXT.search(raw):
        raise InvalidParam("not a valid device ID: characters that are not allowed")
    return DeviceId(raw)


def parse_txn_id(raw: str) -> str:
    """A transaction ID of a client: any text of at most 255 bytes.

    Raises:
        InvalidParam: *raw* is longer.
    """
    if len(raw.encode()) > ID_BYTES_MAX:
        raise InvalidParam(f"a transaction ID has at most {ID_BYTES_MAX} bytes")
    return raw


def is_opaque_id(raw: str) -> bool:
    """Whether *raw* obeys the "Opaque Identifiers" grammar: ``0-9A-Za-z-._~``."""
    return _OPAQUE.fullmatch(raw) is not None


def is_namespaced_id(raw: str) -> bool:
    """Whether *raw* obeys the "Common Namespaced Identifier Grammar"."""
    return _NAMESPACED.fullmatch(raw) is not None


def localpart_of(identifier: str) -> str:
    """What stands between the sigil and the first colon."""
    return identifier[1:].partition(":")[0]


def server_of(identifier: str) -> ServerName:
    """The domain of an identifier; empty for IDs that are hashes."""
    return ServerName(identifier.partition(":")[2])


def _with_domain(raw: object, *, sigil: str, what: str) -> str:
    if not isinstance(raw, str) or raw[:1] != sigil:
        raise InvalidParam(f"not a valid {what}: it must start with {sigil!r}")
    localpart, colon, domain = raw[1:].partition(":")
    # What is remembered is short, whoever asks.
    if not colon or len(domain) > ID_BYTES_MAX or not _is_known_server_name(domain):
        raise InvalidParam(f"not a valid {what}: it has no valid server name")
    if _NOT_IN_LOCALPART.search(localpart):
        raise InvalidParam(f"not a valid {what}: characters that are not allowed")
    if len(raw.encode()) > ID_BYTES_MAX:
        raise InvalidParam(f"not a valid {what}: longer than {ID_BYTES_MAX} bytes")
    return raw
