"""A policy server that is written by hand, and rooms that use it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.features.rooms import set_state
from tests.federation.network import Letter
from tests.federation.remote import Remote
from tests.http_client import Client, HttpResponse
from tremula.protocol.base64 import encode_base64
from tremula.protocol.hashes import signed_bytes
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.protocol.signing import POLICY_KEY_ID, SigningKey

POLICY: Final = "policy.test"
ASKED: Final = "/policy/v1/sign"

KEY: Final = SigningKey.from_seed(POLICY_KEY_ID, b"\x17" * 32)
OTHER_KEY: Final = SigningKey.from_seed(POLICY_KEY_ID, b"\x18" * 32)

# Signatures are made alike since room version 11.
_RULES: Final = ROOM_VERSIONS["12"]

Json = dict[str, Any]


def signatures(pdu: Json, key: SigningKey = KEY) -> Json:
    """What a policy server with *key* answers, if it signs *pdu*."""
    return {POLICY: {POLICY_KEY_ID: key.sign(signed_bytes(_RULES, pdu))}}


def signed(pdu: Json, key: SigningKey = KEY) -> Json:
    """*pdu* with the signature of the policy server beside the others."""
    of_policy = pdu["signatures"].get(POLICY, {}) | signatures(pdu, key)[POLICY]
    return {**pdu, "signatures": {**pdu["signatures"], POLICY: of_policy}}


def is_signed(pdu: Json) -> bool:
    """Whether the policy server's signature is on *pdu*."""
    found: Json = pdu["signatures"].get(POLICY, {})
    expected: str = signatures(pdu)[POLICY][POLICY_KEY_ID]
    return found.get(POLICY_KEY_ID) == expected


@dataclass(slots=True)
class PolicyServer:
    """Signs what it is asked for, unless it ``decides`` otherwise.

    While it is ``closed`` answers wait.
    """

    remote: Remote
    decides: Callable[[Json], object] = signatures
    asked: list[Json] = field(default_factory=list)
    closed: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self.remote.answers[ASKED] = self._answer

    async def _answer(self, letter: Letter) -> object:
        self.asked.append(letter.json)
        if self.closed is not None:
            await self.closed.wait()
        return self.decides(letter.json)

    @property
    def asked_types(self) -> list[str]:
        """The types of the events that it was asked to sign."""
        return [each["type"] for each in self.asked]


def content(key: SigningKey = KEY, via: str = POLICY) -> Json:
    """The content of an ``m.room.policy``."""
    public_key = encode_base64(key.public_key)
    return {"via": via, "public_keys": {"ed25519": public_key}}


async def set_policy(client: Client, room_id: str, policy: object) -> HttpResponse:
    """Name a room's policy server, which must succeed."""
    response = await set_state(client, room_id, "m.room.policy", policy)
    assert response.status == 200, response.body
    return response
