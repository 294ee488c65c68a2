"""One-time and fallback keys as devices upload them (CS "Key algorithms")."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Raw, Struct

from tremula.protocol.canonical import encode_canonical
from tremula.protocol.device_keys import check_signed
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.json import parse_json

KeyTexts = Mapping[str, Raw]
"""`{"<algorithm>:<key_id>": key}`, each key the JSON that came."""

SIGNED_CURVE25519: Final = "signed_curve25519"
_CURVE25519: Final = "curve25519"

KEYS_MAX: Final = 500
"""So many keys are taken in one upload; clients have about 100."""

_NAME_BYTES_MAX: Final = 255
_CONTENT_BYTES_MAX: Final = 4096
# 32 bytes in Base64, which is unpadded, or should be.
_PUBLIC_KEY: Final = re.compile(r"[A-Za-z0-9+/]{43}=?")

# A signed key as nearly all clients write it: canonical, if the group is `_signer`.
_USUAL: Final = re.compile(
    rb'\{"key":"[A-Za-z0-9+/]{43}=?","signatures":\{"([^"]+":\{"ed25519:[^"]+)":'
    rb'"[A-Za-z0-9+/]{1,88}={0,2}"\}\}\}'
)


class OneTimeKey(Struct, frozen=True):
    """A key by the two parts of its name; ``content`` is canonical JSON."""

    algorithm: str
    key_id: str
    content: bytes

    @property
    def name(self) -> tuple[str, str]:
        """The algorithm and the ID."""
        return self.algorithm, self.key_id


def texts_of(keys: Mapping[str, object]) -> dict[str, Raw]:
    """JSON of each of *keys*, which were parsed from some."""
    return {name: Raw(orjson.dumps(key)) for name, key in keys.items()}


def parse_one_time_keys(
    user_id: UserId, device_id: DeviceId, raw: KeyTexts
) -> list[OneTimeKey]:
    """The keys of *raw* of a device.

    A signed key that is written as usual costs one match of a pattern and is not
    decoded: what it says is stored, and given out, as it is.

    Raises:
        InvalidParam: there are too many, or one is not what its algorithm demands.
        NotJson, BadJson: one is not strict, or not canonical JSON.
    """
    if len(raw) > KEYS_MAX:
        raise InvalidParam(f"at most {KEYS_MAX} keys can be uploaded at once")
    signer = _signer(user_id, device_id)
    keys = []
    for name, text in raw.items():
        algorithm, key_id = _parse_name(name)
        content = bytes(text)
        usual = _USUAL.fullmatch(content) if algorithm == SIGNED_CURVE25519 else None
        if usual is None or usual[1] != signer:
            content = _parse(user_id, device_id, name, parse_json(content))
        keys.append(OneTimeKey(algorithm, key_id, content))
    return keys


def parse_fallback_keys(
    user_id: UserId, device_id: DeviceId, raw: KeyTexts
) -> list[OneTimeKey]:
    """The fallback keys of *raw*, of which there is one an algorithm.

    Raises:
        InvalidParam, NotJson, BadJson: as with `parse_one_time_keys`, or an algorithm
            has two.
    """
    keys = parse_one_time_keys(user_id, device_id, raw)
    if len({key.algorithm for key in keys}) < len(keys):
        raise InvalidParam("there is one fallback key an algorithm")
    return keys


def check_signed_by(
    ed25519: bytes,
    user_id: UserId,
    device_id: DeviceId,
    keys: Sequence[OneTimeKey],
    fallbacks: Sequence[OneTimeKey],
) -> None:
    """See that the device with this Ed25519 key has signed what needs to be signed.

    Of one-time keys one is verified, for all of them: an upload is signed at once, so
    that a device with another key than it has published is found by any of them. All
    would cost three times what the rest of the upload does; who claims one verifies it.
    Fallback keys, which are given out again and again, are verified each.

    Raises:
        InvalidSignature: it has not.
    """
    verify_keys = {f"ed25519:{device_id}": ed25519}
    signed = [key for key in keys if key.algorithm == SIGNED_CURVE25519]
    of_fallbacks = [key for key in fallbacks if key.algorithm == SIGNED_CURVE25519]
    for key in (*signed[-1:], *of_fallbacks):
        check_signed(orjson.loads(key.content), user_id, verify_keys)


def _parse_name(name: str) -> tuple[str, str]:
    algorithm, _, key_id = name.partition(":")
    if not (algorithm and key_id) or len(name.encode()) > _NAME_BYTES_MAX:
        raise InvalidParam("a key is named <algorithm>:<key_id>, in 255 bytes")
    if "\0" in name:
        raise InvalidParam("a key's name has no NUL")
    return algorithm, key_id


def _signer(user_id: UserId, device_id: DeviceId) -> bytes:
    """What a signature is by, in canonical JSON and without the quotes around it."""
    key_id = orjson.dumps(f"ed25519:{device_id}")
    return (orjson.dumps(user_id) + b":{" + key_id)[1:-1]


def _parse(user_id: UserId, device_id: DeviceId, name: str, key: object) -> bytes:
    """The canonical JSON of any key."""
    if not isinstance(key, str | dict):
        raise InvalidParam(f"{name} is neither a string nor an object")
    content = encode_canonical(key)
    if len(content) > _CONTENT_BYTES_MAX:
        raise InvalidParam(f"a key has at most {_CONTENT_BYTES_MAX} bytes")
    algorithm, _, _ = name.partition(":")
    if algorithm == _CURVE25519:
        _check_public_key(name, key)
    elif algorithm == SIGNED_CURVE25519:
        if not isinstance(key, dict):
            raise InvalidParam(f"{name} is not signed")
        _check_public_key(name, key.get("key"))
        _check_is_signed(name, key, user_id, device_id)
    return content


def _check_public_key(name: str, raw: object) -> None:
    if not isinstance(raw, str) or not _PUBLIC_KEY.fullmatch(raw):
        raise InvalidParam(f"{name} has no Curve25519 key of 32 bytes in Base64")


def _check_is_signed(
    name: str, key: Mapping[str, Any], user_id: UserId, device_id: DeviceId
) -> None:
    """Whoever claims the key verifies the signature; it must be there."""
    signatures = key.get("signatures")
    own = signatures.get(user_id) if isinstance(signatures, dict) else None
    signature = own.get(f"ed25519:{device_id}") if isinstance(own, dict) else None
    if not isinstance(signature, str):
        raise InvalidParam(f"{name} is not signed by its device")
