"""Operators, accounts and users of NATS, as its tool ``nsc`` would make them."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

import nkeys  # type: ignore[import-untyped]  # it ships no types

_OPERATOR: Final = nkeys.PREFIX_BYTE_OPERATOR
_ACCOUNT: Final = nkeys.PREFIX_BYTE_ACCOUNT
_USER: Final = nkeys.PREFIX_BYTE_USER


def _new_seed(prefix: int) -> bytes:
    return bytes(nkeys.encode_seed(secrets.token_bytes(32), prefix))


@dataclass(frozen=True, slots=True)
class Identity:
    """A key pair that signs for others."""

    seed: bytes

    @property
    def name(self) -> str:
        """The public key."""
        return bytes(nkeys.from_seed(bytearray(self.seed)).public_key).decode()

    def jwt(self, kind: str, subject: "Identity", claims: dict[str, Any]) -> str:
        """What says that *subject* is what it is."""
        payload: dict[str, Any] = {
            "iat": 1,
            "iss": self.name,
            "name": kind,
            "sub": subject.name,
            "nats": {"type": kind, "version": 2, **claims},
        }
        digest = hashlib.sha256(json.dumps(payload).encode()).digest()
        payload["jti"] = base64.b32encode(digest).decode().rstrip("=")
        parts = ({"typ": "JWT", "alg": "ed25519-nkey"}, payload)
        text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        signature = nkeys.from_seed(bytearray(self.seed)).sign(text.encode())
        return f"{text}.{_base64(signature)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Accounts:
    """An operator with one account and one user."""

    operator: Identity = field(default_factory=lambda: Identity(_new_seed(_OPERATOR)))
    account: Identity = field(default_factory=lambda: Identity(_new_seed(_ACCOUNT)))
    user: Identity = field(default_factory=lambda: Identity(_new_seed(_USER)))

    def settings(self) -> str:
        """Lines of the server's configuration."""
        operator = self.operator.jwt("operator", self.operator, {})
        no_limits = dict.fromkeys(
            ("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1
        )
        account = self.operator.jwt(
            "account", self.account, {"limits": {**no_limits, "wildcards": True}}
        )
        return (
            f"operator: {operator}\nresolver: MEMORY\n"
            f"resolver_preload: {{ {self.account.name}: {account} }}"
        )

    def credentials(self) -> str:
        """The ``.creds`` file of the user."""
        claims = {"subs": -1, "data": -1, "payload": -1}
        jwt = self.account.jwt("user", self.user, claims)
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{self.user.seed.decode()}\n"
            "------END USER NKEY SEED------\n"
        )
