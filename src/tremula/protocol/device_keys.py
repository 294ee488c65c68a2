"""Device keys and cross-signing keys, checked (CS "End-to-End Encryption").

Whatever is given, of our users or of other servers', these functions raise nothing but
`MatrixError`: bounds come first, then the shape, then the signatures.
"""

import re
from binascii import a2b_base64
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from tremula.protocol.base64 import decode_base64
from tremula.protocol.canonical import encode_canonical, encode_checked
from tremula.protocol.errors import (
    BadJson,
    InvalidParam,
    InvalidSignature,
    MissingParam,
    TooLarge,
)
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.signing import (
    ALGORITHM,
    BadSignature,
    verify_any,
    verify_json,
)

Json = Mapping[str, Any]

KEY_BYTES_MAX: Final = 16_384
"""How large the canonical JSON of one device's keys, or of one key, may be."""

_ENTRIES_MAX: Final = 64
_NAME_CHARS_MAX: Final = 320
_VALUE_CHARS_MAX: Final = 8192

# Keys of these algorithms are 32 bytes (CS "Key algorithms").
_OF_32_BYTES: Final = frozenset({ALGORITHM, "curve25519"})
# As there is one way to write them: the last two bits are of no byte.
_PUBLIC_KEY: Final = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]")
_NOT_SIGNED: Final = frozenset({"signatures", "unsigned"})


class Usage(StrEnum):
    """What a cross-signing key is for."""

    MASTER = "master"
    SELF_SIGNING = "self_signing"
    USER_SIGNING = "user_signing"


class DeviceKeys(Struct, frozen=True):
    """The identity keys of a device, signed by itself.

    ``content`` is as uploaded, but for ``unsigned`` and what other users have signed.
    """

    user_id: UserId
    device_id: DeviceId
    ed25519: bytes
    content: Json

    @property
    def self_signed_json(self) -> bytes:
        """The keys with no signature but that of the device, as canonical JSON."""
        key_id = key_id_of(self.device_id)
        signature = self.content["signatures"][self.user_id][key_id]
        by_device = {self.user_id: {key_id: signature}}
        return encode_checked({**self.content, "signatures": by_device})


class CrossSigningKey(Struct, frozen=True):
    """One of the three keys of a user; ``content`` has no signatures.

    ``signatures`` are those of its owner, `{key ID: signature}`, not yet verified.
    """

    user_id: UserId
    usage: Usage
    public_key: str
    content: Json
    signatures: Mapping[str, str]

    @property
    def verify_keys(self) -> Mapping[str, bytes]:
        """The key by its ID, to verify with."""
        return {key_id_of(self.public_key): decode_base64(self.public_key)}

    @property
    def signed(self) -> dict[str, Any]:
        """The key with its signatures, as others are given it."""
        return with_signatures(self.content, {self.user_id: self.signatures})


def key_id_of(name: str) -> str:
    """The ID of the Ed25519 key of a device, or of a cross-signing key."""
    return f"{ALGORITHM}:{name}"


def parse_device_keys(raw: object, user_id: UserId, device_id: DeviceId) -> DeviceKeys:
    """The keys that the device *device_id* of *user_id* has published of itself.

    Raises:
        TooLarge, BadJson, InvalidParam: they are not what device keys have to be.
        InvalidSignature: the device has not signed them.
    """
    content = _bounded_object(raw)
    if content.get("user_id") != user_id or content.get("device_id") != device_id:
        raise InvalidParam("device keys of another user or device")
    _names(content.get("algorithms"), "algorithms")
    keys = _strings(content.get("keys"), "keys")
    for name, key in keys.items():
        algorithm, _, owner = name.partition(":")
        if owner != device_id:
            raise InvalidParam("a key is named <algorithm>:<device_id>")
        if algorithm in _OF_32_BYTES:
            decode_key(key)
    # "The JSON object must include the public part of the device's Ed25519 key, and
    # must be signed by that key"
    key_id = key_id_of(device_id)
    if key_id not in keys:
        raise MissingParam(f"there is no {ALGORITHM} key of the device")
    ed25519 = decode_key(keys[key_id])
    own = _own_signatures(content, user_id)
    signed = without_signatures(content)
    try:
        verify_any(own, {key_id: ed25519}, encode_checked(signed))
    except BadSignature as error:
        raise InvalidSignature(str(error)) from error
    signed["signatures"] = {user_id: own}
    return DeviceKeys(user_id, device_id, ed25519, signed)


def parse_cross_signing_key(
    raw: object, user_id: UserId, usage: Usage
) -> CrossSigningKey:
    """A key that *user_id* has published for *usage*, its signatures not verified.

    Raises:
        TooLarge, BadJson, InvalidParam: it is not what such a key has to be.
    """
    content = _bounded_object(raw)
    if content.get("user_id") != user_id:
        raise InvalidParam("a cross-signing key of another user")
    if usage not in _names(content.get("usage"), "usage"):
        raise InvalidParam(f"usage must be a list with {usage}")
    keys = _strings(content.get("keys"), "keys")
    if len(keys) != 1:
        raise InvalidParam("keys must have exactly one key")
    [(name, public_key)] = keys.items()
    decode_key(public_key)
    if name != key_id_of(public_key):
        raise InvalidParam(f"a key is named {ALGORITHM}:<public key>")
    return CrossSigningKey(
        user_id=user_id,
        usage=usage,
        public_key=public_key,
        content=without_signatures(content),
        signatures=_own_signatures(content, user_id),
    )


def check_signed(
    content: Json, user_id: UserId, verify_keys: Mapping[str, bytes]
) -> None:
    """See that *user_id* has signed *content* with one of *verify_keys*.

    Raises:
        InvalidSignature: there is no such signature, or one is wrong.
        BadJson: *content* is not canonical JSON.
    """
    try:
        verify_json(content, user_id, verify_keys)
    except BadSignature as error:
        raise InvalidSignature(str(error)) from error


def decode_key(key: str) -> bytes:
    """The 32 bytes of a public key in unpadded Base64.

    Raises:
        InvalidParam: it is something else.
    """
    if not _PUBLIC_KEY.fullmatch(key):
        raise InvalidParam("a public key is 32 bytes in unpadded Base64")
    return a2b_base64(key + "=")


def without_signatures(content: Json) -> dict[str, Any]:
    """What signatures of *content* cover."""
    return {k: v for k, v in content.items() if k not in _NOT_SIGNED}


def with_signatures(
    content: Json, signatures: Mapping[UserId, Mapping[str, str]]
) -> dict[str, Any]:
    """*content* with these signatures in the place of its own; no ``unsigned``."""
    signed = without_signatures(content)
    by_user = {user_id: own for user_id, own in signatures.items() if own}
    return {**signed, "signatures": by_user}


def _bounded_object(raw: object) -> Json:
    if not isinstance(raw, dict):
        raise BadJson("a key must be an object")
    if len(encode_canonical(raw)) > KEY_BYTES_MAX:
        raise TooLarge(f"keys of more than {KEY_BYTES_MAX} bytes")
    return raw


def _own_signatures(content: Json, user_id: UserId) -> Mapping[str, str]:
    signatures = content.get("signatures", {})
    if not isinstance(signatures, dict):
        raise BadJson("signatures must be {user_id: {key_id: signature}}")
    return _strings(signatures.get(user_id, {}), "signatures")


def _strings(value: object, name: str) -> Mapping[str, str]:
    if not isinstance(value, dict) or len(value) > _ENTRIES_MAX:
        raise BadJson(f"{name} must be an object of at most {_ENTRIES_MAX} entries")
    for key, item in value.items():
        if len(key) > _NAME_CHARS_MAX or not isinstance(item, str):
            raise BadJson(f"{name} must have short names and strings")
        if len(item) > _VALUE_CHARS_MAX:
            raise BadJson(f"{name} must have strings of {_VALUE_CHARS_MAX} characters")
    return value


def _names(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or len(value) > _ENTRIES_MAX:
        raise BadJson(f"{name} must be a list of at most {_ENTRIES_MAX} strings")
    if not all(isinstance(each, str) for each in value):
        raise BadJson(f"{name} must be a list of strings")
    return value
