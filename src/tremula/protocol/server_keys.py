"""The keys that servers publish (SS "Retrieving server keys"), and how long they count.

A published list is signed by its server. ``VerifyKey`` is what is left of it once that
has been checked.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from msgspec import Struct

from tremula.protocol.base64 import decode_base64, encode_base64
from tremula.protocol.errors import BadJson
from tremula.protocol.identifiers import ServerName
from tremula.protocol.signing import (
    PUBLIC_KEY_BYTES,
    SigningKey,
    is_key_id,
    sign_json,
    verify_json,
)

# "Servers MUST use the lesser of this field and 7 days into the future".
VALIDITY_MS_MAX = 7 * 24 * 60 * 60 * 1000

# Public keys whose private halves anybody can know.
_INSECURE_KEYS: Final = frozenset(
    decode_base64(key)
    for key in (
        # CVE-2026-24044: ESS Community's Helm chart made keys with a random generator
        # that began alike each time, so that all its servers had this one.
        "l/O9hxMVKB6Lg+3Hqf0FQQZhVESQcMzbPN1Cz2nM3og",
        # Appendices "Cryptographic Test Vectors".
        "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI",
    )
)


class VerifyKey(Struct, frozen=True):
    """A public key, and until when events may be signed with it."""

    public_key: bytes
    valid_until_ts: int


class KeyNeed(Struct, frozen=True):
    """The key that a signature names, to be valid at a time if ``strict``.

    Room versions 1 to 4 do not enforce validity; what else is signed does.
    """

    server_name: ServerName
    key_id: str
    valid_at_ms: int
    strict: bool

    def is_met_by(self, key: VerifyKey | None) -> bool:
        """Whether *key*, if there is one, will do."""
        return key is not None and (
            not self.strict or self.valid_at_ms <= key.valid_until_ts
        )


# {(server name, key ID): key}
KnownKeys = Mapping[tuple[ServerName, str], VerifyKey]


class ServerKeys(Struct, frozen=True):
    """What a server has published: its keys by their IDs, present and old ones.

    ``valid_until_ts`` is the server's own word, without the bound that its keys have.
    """

    server_name: ServerName
    valid_until_ts: int
    verify_keys: Mapping[str, VerifyKey]


class OldKey(Struct, frozen=True):
    """A key that its server has stopped using."""

    key_id: str
    public_key: bytes
    expired_ts: int


def is_insecure(public_key: bytes) -> bool:
    """Whether it is a key that proves nothing: others have its private half."""
    return public_key in _INSECURE_KEYS


def parse_server_keys(
    raw: Mapping[str, Any], server_name: ServerName, *, now_ms: int
) -> ServerKeys:
    """Check what is said to be published by *server_name*.

    Keys of unknown algorithms, malformed and insecure ones are left out.

    Raises:
        BadJson: it is malformed, or of another server.
        BadSignature: no key that it lists has signed it.
    """
    if raw.get("server_name") != server_name:
        raise BadJson("the keys are those of another server")
    valid_until_ts = raw.get("valid_until_ts")
    if not _is_integer(valid_until_ts):
        raise BadJson("valid_until_ts must be an integer")
    capped_ts = min(valid_until_ts, now_ms + VALIDITY_MS_MAX)
    current = {
        key_id: VerifyKey(public_key, capped_ts)
        for key_id, public_key, _ in _entries(raw, "verify_keys")
    }
    old = {
        key_id: VerifyKey(public_key, entry["expired_ts"])
        for key_id, public_key, entry in _entries(raw, "old_verify_keys")
        if _is_integer(entry.get("expired_ts"))
    }
    verify_json(raw, server_name, {k: key.public_key for k, key in current.items()})
    return ServerKeys(server_name, valid_until_ts, {**old, **current})


def publish_server_keys(
    server_name: ServerName,
    key: SigningKey,
    old_keys: tuple[OldKey, ...],
    *,
    valid_until_ts: int,
) -> dict[str, Any]:
    """The signed list of the keys of *server_name* (SS ``getServerKey``)."""
    published = {
        "server_name": server_name,
        "verify_keys": {key.key_id: {"key": encode_base64(key.public_key)}},
        "old_verify_keys": {
            old.key_id: {
                "key": encode_base64(old.public_key),
                "expired_ts": old.expired_ts,
            }
            for old in old_keys
        },
        "valid_until_ts": valid_until_ts,
    }
    return sign_json(published, server_name, key)


def _entries(
    raw: Mapping[str, Any], name: str
) -> list[tuple[str, bytes, dict[str, Any]]]:
    """Key ID, public key and the rest of each usable entry."""
    entries = raw.get(name, {})
    if not isinstance(entries, dict):
        raise BadJson(f"{name} must be an object")
    return [
        (key_id, public_key, entry)
        for key_id, entry in entries.items()
        if is_key_id(key_id)
        and isinstance(entry, dict)
        and (public_key := _public_key(entry.get("key"))) is not None
    ]


def _public_key(raw: object) -> bytes | None:
    if not isinstance(raw, str):
        return None
    try:
        public_key = decode_base64(raw)
    except ValueError:
        return None
    if len(public_key) != PUBLIC_KEY_BYTES or is_insecure(public_key):
        return None
    return public_key


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
