"""Devices and cross-signing keys with real Ed25519 keys, as clients have them."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tremula.protocol.base64 import encode_base64
from tremula.protocol.signing import SigningKey, sign_json

Json = dict[str, Any]


def _seed(*names: str) -> bytes:
    return sha256("\0".join(names).encode()).digest()


@dataclass(frozen=True, slots=True)
class CryptoDevice:
    """A device; another *generation* has other keys under the same ID."""

    user_id: str
    device_id: str
    generation: str = ""

    @property
    def key(self) -> SigningKey:
        """The Ed25519 key."""
        seed = _seed(self.user_id, self.device_id, self.generation)
        return SigningKey.from_seed(f"ed25519:{self.device_id}", seed)

    def unsigned_keys(self) -> Json:
        """The identity keys without a signature."""
        curve25519 = _seed("curve", self.user_id, self.device_id, self.generation)
        return {
            "user_id": self.user_id,
            "device_id": self.device_id,
            "algorithms": [
                "m.olm.v1.curve25519-aes-sha2",
                "m.megolm.v1.aes-sha2",
            ],
            "keys": {
                self.key.key_id: encode_base64(self.key.public_key),
                f"curve25519:{self.device_id}": encode_base64(curve25519),
            },
        }

    def keys(self, **changed: object) -> Json:
        """The identity keys, with these fields changed before they are signed."""
        return self.sign({**self.unsigned_keys(), **changed})

    def sign(self, value: Json) -> Json:
        """*value* with a signature of this device."""
        return sign_json(value, self.user_id, self.key)


@dataclass(frozen=True, slots=True)
class CrossSigningIdentity:
    """The three cross-signing keys of a user; another *generation* has others."""

    user_id: str
    generation: str = ""

    def key(self, usage: str) -> SigningKey:
        """The key for *usage*."""
        seed = _seed("cross", self.user_id, usage, self.generation)
        name = encode_base64(SigningKey.from_seed("", seed).public_key)
        return SigningKey.from_seed(f"ed25519:{name}", seed)

    def name(self, usage: str) -> str:
        """The public half of the key for *usage*."""
        return encode_base64(self.key(usage).public_key)

    def public(self, usage: str, /, **changed: object) -> Json:
        """A key as it is uploaded; all but the master key are signed by that one."""
        value = {
            "user_id": self.user_id,
            "usage": [usage],
            "keys": {self.key(usage).key_id: self.name(usage)},
            **changed,
        }
        return value if usage == "master" else self.sign("master", value)

    def sign(self, usage: str, value: Json) -> Json:
        """*value* with a signature by the key for *usage*."""
        return sign_json(value, self.user_id, self.key(usage))

    def upload(self) -> Json:
        """The body of CS ``uploadCrossSigningKeys``."""
        return {
            "master_key": self.public("master"),
            "self_signing_key": self.public("self_signing"),
            "user_signing_key": self.public("user_signing"),
        }
