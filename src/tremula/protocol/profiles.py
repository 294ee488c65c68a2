"""What a profile may hold (CS "Profiles").

A profile is a mapping of field names to JSON values, kept as bytes: what is not
read need not be parsed.
"""

import re
from collections.abc import Mapping
from typing import Final

import orjson

from tremula.protocol.errors import (
    BadJson,
    InvalidParam,
    KeyTooLarge,
    MatrixError,
    ProfileTooLarge,
)
from tremula.protocol.identifiers import is_namespaced_id

# "The total profile MUST be under 64 KiB."
PROFILE_BYTES_MAX: Final = 65_535
FIELD_NAME_BYTES_MAX: Final = 255
# Both are copied into every member event of the user, which has a bound of its own.
MEMBER_FIELD_BYTES_MAX: Final = 1_024

# What others show in one line, and no more than other servers let their users have.
OWN_NAME_CHARS_MAX: Final = 256

DISPLAYNAME: Final = "displayname"
AVATAR_URL: Final = "avatar_url"
MEMBER_FIELDS: Final = (DISPLAYNAME, AVATAR_URL)
_TEXT_FIELDS: Final = frozenset({DISPLAYNAME, AVATAR_URL, "m.tz"})

# A name of the IANA time zone database.
_TIME_ZONE: Final = re.compile(r"[A-Za-z0-9_+./-]{1,255}")


def parse_field_name(raw: str) -> str:
    """Check the name of a field that is to be set.

    Raises:
        KeyTooLarge: longer than 255 bytes.
        InvalidParam: against the "Common Namespaced Identifier Grammar".
    """
    if len(raw.encode()) > FIELD_NAME_BYTES_MAX:
        raise KeyTooLarge(f"a field name has at most {FIELD_NAME_BYTES_MAX} bytes")
    if not is_namespaced_id(raw):
        raise InvalidParam("a field name consists of a-z, 0-9, '-', '_' and '.'")
    return raw


def encode_field(name: str, value: object) -> bytes:
    """Check the value of a field and encode it as JSON.

    Raises:
        BadJson: a field of the specification that is not text.
        InvalidParam: a name, avatar URL or time zone that cannot be one.
    """
    if name in _TEXT_FIELDS:
        _check_text(name, value)
    return orjson.dumps(value)


def encode_own_field(name: str, value: object) -> bytes:
    """As `encode_field`, of a user of this server. What users of others are called may
    be longer.

    Raises:
        BadJson, InvalidParam: as `encode_field`; or the name is too long.
    """
    encoded = encode_field(name, value)
    if name == DISPLAYNAME and len(str(value)) > OWN_NAME_CHARS_MAX:
        raise InvalidParam(f"{name} has at most {OWN_NAME_CHARS_MAX} characters")
    return encoded


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadJson(f"{name} must be a string")
    if name in MEMBER_FIELDS and len(value.encode()) > MEMBER_FIELD_BYTES_MAX:
        raise InvalidParam(f"{name} has at most {MEMBER_FIELD_BYTES_MAX} bytes")
    if name == "m.tz" and not _TIME_ZONE.fullmatch(value):
        raise InvalidParam("m.tz must be the name of a time zone")


def encode_profile(fields: Mapping[str, bytes]) -> bytes:
    """The whole profile as a JSON object."""
    return (
        b"{" + b",".join(b'"%b":%b' % (n.encode(), v) for n, v in fields.items()) + b"}"
    )


def check_profile_size(fields: Mapping[str, bytes]) -> None:
    """Refuse a profile of 64 KiB or more.

    Raises:
        ProfileTooLarge: it is.
    """
    if len(encode_profile(fields)) > PROFILE_BYTES_MAX:
        raise ProfileTooLarge(f"a profile has at most {PROFILE_BYTES_MAX} bytes")


def parse_profile(raw: Mapping[str, object]) -> dict[str, bytes]:
    """The fields of a profile as another server tells it.

    What cannot be a field is left out, as is what would make the profile too large.
    """
    fields: dict[str, bytes] = {}
    size_bytes = len(encode_profile(fields))
    for name, value in raw.items():
        # "it MUST either exclude it from the response body or give it the value null"
        if value is None:
            continue
        try:
            encoded = encode_field(parse_field_name(name), value)
        except (MatrixError, orjson.JSONEncodeError):
            continue
        size_bytes += len(encode_profile({name: encoded}))
        if size_bytes <= PROFILE_BYTES_MAX:
            fields[name] = encoded
    return fields


def member_fields(fields: Mapping[str, bytes]) -> dict[str, str]:
    """What the user's member events say of the profile; empty values are left out."""
    found = {}
    for name in MEMBER_FIELDS:
        value = orjson.loads(fields[name]) if name in fields else None
        if value:
            found[name] = value
    return found
