"""An identity server: HTTPS on a loopback port, with answers that the test chooses."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from tests.fakes.remote import Received, Remote, http_answer, running_remote

PEPPER = "matrixrocks"
TOKEN = "a.token-of_the=server"
STORED = {
    "token": TOKEN,
    "display_name": "b...@e...",
    "public_keys": [
        {
            "public_key": "A" * 43,
            "key_validity_url": "https://id.example.org/pubkey/isvalid",
        },
        {
            "public_key": "B" * 43,
            "key_validity_url": "https://id.example.org/pubkey/ephemeral/isvalid",
        },
    ],
}


@dataclass(slots=True)
class IdentityServer:
    """Whom it knows, and what it answers instead, by the last part of the path."""

    bound: dict[str, str] = field(default_factory=dict)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    remote: Remote = field(default_factory=Remote)

    @property
    def name(self) -> str:
        """What clients call it."""
        return f"127.0.0.1:{self.remote.port}"

    @property
    def asked(self) -> list[str]:
        """The last parts of the paths that were asked for, in order."""
        return [each.uri.rpartition("/")[2] for each in self.remote.requests]

    def last(self) -> tuple[Received, Any]:
        """The newest request, and its body."""
        request = self.remote.requests[-1]
        return request, orjson.loads(request.body)

    def fail(self, path: str, status: int, answer: object) -> None:
        """Have requests fail whose path ends with *path*."""
        self.answers[path] = (status, orjson.dumps(answer))

    async def answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        assert request.uri.startswith("/_matrix/identity/v2/")
        last = request.uri.rpartition("/")[2]
        status, body = self.answers.get(last) or (200, b"")
        writer.write(http_answer(status, body or orjson.dumps(self._usual(last))))

    def _usual(self, last: str) -> object:
        match last:
            case "hash_details":
                return {"lookup_pepper": PEPPER, "algorithms": ["none", "sha256"]}
            case "lookup":
                return {"mappings": {_hashed(k): v for k, v in self.bound.items()}}
            case "store-invite":
                return STORED
            case _:
                return {}


def _hashed(address: str) -> str:
    digest = sha256(f"{address} email {PEPPER}".encode()).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")


@asynccontextmanager
async def running_identity_server(folder: Path) -> AsyncIterator[IdentityServer]:
    """Run an identity server, whose certificate is that of ``trusted_ca_file``."""
    identity = IdentityServer()
    async with running_remote(["127.0.0.1"], identity.answer, folder) as remote:
        identity.remote = remote
        yield identity
