"""Ed25519 signatures of JSON and of events (Appendices "Signing JSON")."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Self

from msgspec import Struct
from nacl.bindings import (
    crypto_sign,
    crypto_sign_BYTES,
    crypto_sign_open,
    crypto_sign_PUBLICKEYBYTES,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from tremula.protocol.base64 import decode_base64, encode_base64
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.errors import BadJson
from tremula.protocol.hashes import content_hash, signed_bytes
from tremula.protocol.identifiers import ServerName, server_of
from tremula.protocol.room_versions import EventIdFormat, RoomVersion
from tremula.protocol.unprinted import Unprinted

ALGORITHM = "ed25519"
POLICY_KEY_ID = ALGORITHM + ":policy_server"
"""Of the key of every policy server, which is not one of the server's own keys."""
SEED_BYTES = 32
PUBLIC_KEY_BYTES = crypto_sign_PUBLICKEYBYTES
# As long as a signature in unpadded Base64.
_NO_SIGNATURE = "=" * 86
# "The version must have characters matching the regular expression [a-zA-Z0-9_]."
_KEY_ID = re.compile(ALGORITHM + r":[a-zA-Z0-9_]{1,255}")

# {key ID: public key} of one server
VerifyKeys = Mapping[str, bytes]


class BadSignature(ValueError):
    """A signature is missing, malformed, by no key we know, or wrong."""


class SigningKey(Unprinted, frozen=True):
    """A private key under its ID (``ed25519:…``). Made by ``from_seed``."""

    key_id: str
    seed: bytes
    public_key: bytes
    secret_key: bytes

    @classmethod
    def from_seed(cls, key_id: str, seed: bytes) -> Self:
        """The key with this ID and these 32 secret bytes."""
        public_key, secret_key = crypto_sign_seed_keypair(seed)
        return cls(key_id, seed, public_key, secret_key)

    def sign(self, message: bytes) -> str:
        """The signature of *message* in unpadded Base64."""
        return encode_base64(crypto_sign(message, self.secret_key)[:crypto_sign_BYTES])


class LateKey(Struct, frozen=True):
    """In the place of the key with this ID, which is to sign an event later."""

    key_id: str

    def sign(self, _message: bytes) -> str:
        """What takes as much room as the signature will."""
        return _NO_SIGNATURE


def is_key_id(raw: str) -> bool:
    """Whether *raw* is the ID of an Ed25519 key of a server (SS ``Server Keys``)."""
    return _KEY_ID.fullmatch(raw) is not None


def is_public_key(raw: str) -> bool:
    """Whether *raw* is an Ed25519 key in Base64, as JSON has it."""
    try:
        return len(decode_base64(raw)) == PUBLIC_KEY_BYTES
    except ValueError:
        return False


def generate(seed: bytes) -> SigningKey:
    """A new key from 32 random bytes, its ID made from its public key."""
    unnamed = SigningKey.from_seed("", seed)
    version = sha256(unnamed.public_key).hexdigest()[:8]
    return SigningKey.from_seed(f"{ALGORITHM}:{version}", seed)


def sign_json(
    value: Mapping[str, Any], signing_name: str, key: SigningKey
) -> dict[str, Any]:
    """A copy of the JSON object with a signature added, others kept.

    Raises:
        BadJson: *value* is not canonical JSON.
    """
    return _with_signature(value, signing_name, key, _signed_json_bytes(value))


def verify_json(
    value: Mapping[str, Any], signing_name: str, verify_keys: VerifyKeys
) -> None:
    """Check that *signing_name* has signed the JSON object with a key of *verify_keys*.

    Signatures by other keys are skipped, those by known ones must all be right.

    Raises:
        BadSignature: one is wrong, or there is none by a known key.
        BadJson: *value* is not canonical JSON.
    """
    signatures = value.get("signatures")
    own = signatures.get(signing_name) if isinstance(signatures, dict) else None
    if not isinstance(own, dict):
        raise BadSignature(f"not signed by {signing_name}")
    verify_any(own, verify_keys, _signed_json_bytes(value))


def sign_event(
    version: RoomVersion, pdu: Mapping[str, Any], signing_name: str, key: SigningKey
) -> dict[str, Any]:
    """A copy of the event with its content hash and a signature added.

    Raises:
        BadJson: *pdu* is not what the version takes for canonical JSON.
    """
    digest = encode_base64(content_hash(version, pdu))
    hashed = {**pdu, "hashes": {"sha256": digest}}
    return _with_signature(hashed, signing_name, key, signed_bytes(version, hashed))


def countersign_event(
    version: RoomVersion, pdu: Mapping[str, Any], signing_name: str, key: SigningKey
) -> dict[str, Any]:
    """A copy of an event of another server with one more signature, otherwise as it is.

    Raises:
        BadJson: *pdu* is not what the version takes for canonical JSON.
    """
    return _with_signature(pdu, signing_name, key, signed_bytes(version, pdu))


def required_signers(version: RoomVersion, pdu: Mapping[str, Any]) -> set[ServerName]:
    """The servers whose signature the event needs (SS "Validating hashes …").

    *pdu* has passed the format checks of ``events.parse_pdu``.
    """
    signers: set[ServerName] = set()
    content = pdu["content"]
    is_member = pdu["type"] == "m.room.member"
    # "the server which actually sends the event may be a different server"
    if not (is_member and _is_third_party_invite(content)):
        signers.add(server_of(pdu["sender"]))
    if version.event_ids is EventIdFormat.DOMAIN:
        signers.add(server_of(pdu["event_id"]))
    authorised_via = content.get("join_authorised_via_users_server")
    if version.restricted and is_member and isinstance(authorised_via, str):
        signers.add(server_of(authorised_via))
    return signers


def _is_third_party_invite(content: Mapping[str, Any]) -> bool:
    return content.get("membership") == "invite" and "third_party_invite" in content


def _signed_json_bytes(value: Mapping[str, Any]) -> bytes:
    return encode_canonical(
        {k: v for k, v in value.items() if k not in {"signatures", "unsigned"}}
    )


def _with_signature(
    value: Mapping[str, Any], signing_name: str, key: SigningKey, message: bytes
) -> dict[str, Any]:
    signatures = value.get("signatures", {})
    others = signatures.get(signing_name, {}) if isinstance(signatures, dict) else None
    if not isinstance(others, dict):
        raise BadJson("signatures must be {name: {key ID: signature}}")
    own = {**others, key.key_id: key.sign(message)}
    return {**value, "signatures": {**signatures, signing_name: own}}


def verify_any(
    signatures: Mapping[str, object], verify_keys: VerifyKeys, message: bytes
) -> None:
    """Check the *signatures* of one server, by their key IDs.

    Those by keys that are not in *verify_keys* are skipped.

    Raises:
        BadSignature: one is wrong, or there is none by a known key.
    """
    known = [key_id for key_id in signatures if key_id in verify_keys]
    if not known:
        raise BadSignature("no signature by a known key")
    for key_id in known:
        verify_bytes(verify_keys[key_id], signatures[key_id], message)


def verify_bytes(public_key: bytes, signature: object, message: bytes) -> None:
    """Check one signature in Base64, as JSON has it.

    Raises:
        BadSignature: it is malformed or wrong.
    """
    if not isinstance(signature, str):
        raise BadSignature("a signature is not a string")
    try:
        raw = decode_base64(signature)
    except ValueError as error:
        raise BadSignature("a signature is not Base64") from error
    if len(raw) != crypto_sign_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        raise BadSignature("a signature or key has the wrong length")
    try:
        crypto_sign_open(raw + message, public_key)
    except BadSignatureError as error:
        raise BadSignature("a signature is wrong") from error
