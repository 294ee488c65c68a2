"""One-time and fallback keys as devices upload them (CS "Key algorithms")."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw, Struct

from tremula.protocol.canonical import encode_canonical
from tremula.protocol.device_keys import check_signed
from tremula.protocol.errors import BadJson, InvalidParam, NotJson
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.json import parse_json

KeysJson = bytes
"""`{"<algorithm>:<key_id>": key}` as it came: valid JSON, but for what is in keys."""

NO_KEYS: Final[KeysJson] = b"{}"

SIGNED_CURVE25519: Final = "signed_curve25519"
_CURVE25519: Final = "curve25519"

KEYS_MAX: Final = 500
"""So many keys are taken in one upload; clients have about 100."""

_NAME_BYTES_MAX: Final = 255
_CONTENT_BYTES_MAX: Final = 4096
# 32 bytes in Base64, which is unpadded, or should be.
_PUBLIC_KEY: Final = re.compile(r"[A-Za-z0-9+/]{43}=?")

# A signed key as nearly all clients write it, with its name before and what follows:
# its ID, its content, which is canonical if the last group is `_signer`.
_USUAL: Final = re.compile(
    rb'"signed_curve25519:([A-Za-z0-9+/_-]{1,200})":'
    rb'(\{"key":"[A-Za-z0-9+/]{43}=?","signatures":\{"([^"]+":\{"ed25519:[^"]+)":'
    rb'"[A-Za-z0-9+/]{1,88}={0,2}"\}\}\})[,}]'
)
# Of a match, beside the ID and the content.
_USUAL_BYTES: Final = len(b'"signed_curve25519:":,')
_TEXTS: Final = msgspec.json.Decoder(dict[str, Raw])


class OneTimeKey(Struct, frozen=True):
    """A key by the two parts of its name; ``content`` is canonical JSON."""

    algorithm: str
    key_id: str
    content: bytes


class KeyBatch(Struct, frozen=True):
    """Keys of one algorithm in their order: the ID and the content of each.

    Of what is uploaded by fifties, there is no object a key.
    """

    algorithm: str
    key_ids: Sequence[str]
    contents: Sequence[bytes]


def parse_one_time_keys(
    user_id: UserId, device_id: DeviceId, raw: KeysJson
) -> list[KeyBatch]:
    """The keys of *raw* of a device, in their order, by algorithm.

    Signed keys that are written as usual cost one search for a pattern, and none is
    decoded: what they say is stored, and given out, as it is.

    Raises:
        InvalidParam: there are too many, or one is not what its algorithm demands.
        NotJson, BadJson: one is not strict, or not canonical JSON.
    """
    if raw == NO_KEYS:
        return []
    usual = _usual_keys(_signer(user_id, device_id), raw)
    if usual is not None:
        _check_number(len(usual.key_ids))
        return [usual]
    texts = _texts(raw)
    _check_number(len(texts))
    return _batches(
        [_parse(user_id, device_id, name, bytes(text)) for name, text in texts.items()]
    )


def parse_fallback_keys(
    user_id: UserId, device_id: DeviceId, raw: KeysJson
) -> list[OneTimeKey]:
    """The fallback keys of *raw*, of which there is one an algorithm.

    Raises:
        InvalidParam, NotJson, BadJson: as with `parse_one_time_keys`, or an algorithm
            has two.
    """
    batches = parse_one_time_keys(user_id, device_id, raw)
    if any(len(batch.key_ids) > 1 for batch in batches):
        raise InvalidParam("there is one fallback key an algorithm")
    return [
        OneTimeKey(batch.algorithm, batch.key_ids[0], batch.contents[0])
        for batch in batches
    ]


def check_signed_by(
    ed25519: bytes,
    user_id: UserId,
    device_id: DeviceId,
    keys: Sequence[KeyBatch],
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
    signed = [
        batch.contents[-1] for batch in keys if batch.algorithm == SIGNED_CURVE25519
    ]
    signed += [key.content for key in fallbacks if key.algorithm == SIGNED_CURVE25519]
    for content in signed:
        check_signed(orjson.loads(content), user_id, verify_keys)


def _usual_keys(signer: bytes, raw: KeysJson) -> KeyBatch | None:
    """The keys of *raw*, if there is nothing else in it and each has its own name."""
    found: list[tuple[bytes, bytes, bytes]] = _USUAL.findall(raw)
    if not found:
        return None
    key_ids, contents, signers = zip(*found, strict=True)
    size = 1 + len(found) * _USUAL_BYTES
    size += sum(map(len, key_ids)) + sum(map(len, contents))
    is_all = size == len(raw) and len(set(key_ids)) == len(found)
    if not is_all or set(signers) != {signer}:
        return None
    # All decoded at once: no ID has a space.
    return KeyBatch(SIGNED_CURVE25519, b" ".join(key_ids).decode().split(" "), contents)


def _batches(keys: Sequence[OneTimeKey]) -> list[KeyBatch]:
    by_algorithm: dict[str, list[OneTimeKey]] = {}
    for key in keys:
        by_algorithm.setdefault(key.algorithm, []).append(key)
    return [
        KeyBatch(
            algorithm, [key.key_id for key in alike], [key.content for key in alike]
        )
        for algorithm, alike in by_algorithm.items()
    ]


def _texts(raw: KeysJson) -> Mapping[str, Raw]:
    """The JSON of each key by its name.

    Raises:
        NotJson: two have one name, or one is not UTF-8.
        BadJson: *raw* is no object.
    """
    try:
        texts = _TEXTS.decode(raw)
        if len(msgspec.json.encode(texts)) == len(raw):
            return texts
        # A name is there twice, perhaps.
        return _TEXTS.decode(orjson.dumps(parse_json(raw)))
    except msgspec.ValidationError as error:
        raise BadJson("keys must be {name: key}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson("not valid JSON") from error


def _check_number(keys: int) -> None:
    if keys > KEYS_MAX:
        raise InvalidParam(f"at most {KEYS_MAX} keys can be uploaded at once")


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


def _parse(user_id: UserId, device_id: DeviceId, name: str, text: bytes) -> OneTimeKey:
    """Any key, of whatever algorithm."""
    algorithm, key_id = _parse_name(name)
    key = parse_json(text)
    if not isinstance(key, str | dict):
        raise InvalidParam(f"{name} is neither a string nor an object")
    content = encode_canonical(key)
    if len(content) > _CONTENT_BYTES_MAX:
        raise InvalidParam(f"a key has at most {_CONTENT_BYTES_MAX} bytes")
    if algorithm == _CURVE25519:
        _check_public_key(name, key)
    elif algorithm == SIGNED_CURVE25519:
        if not isinstance(key, dict):
            raise InvalidParam(f"{name} is not signed")
        _check_public_key(name, key.get("key"))
        _check_is_signed(name, key, user_id, device_id)
    return OneTimeKey(algorithm, key_id, content)


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
