"""Policy servers (SS "Policy Servers"): which one a room names, what it has signed.
Pure.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.protocol.base64 import decode_base64, encode_base64
from tremula.protocol.event_building import pdu_json
from tremula.protocol.event_format import check_size
from tremula.protocol.event_values import BuiltEvent
from tremula.protocol.hashes import encode_event_json, signed_bytes
from tremula.protocol.identifiers import ServerName
from tremula.protocol.json import loads_exact
from tremula.protocol.room_state import StateKey
from tremula.protocol.room_versions import RoomVersion
from tremula.protocol.signing import (
    ALGORITHM,
    POLICY_KEY_ID,
    BadSignature,
    verify_bytes,
)

POLICY: Final[StateKey] = ("m.room.policy", "")
"""The state that names a room's policy server."""


class PolicyServer(Struct, frozen=True):
    """A policy server, and the key by which a room knows it."""

    name: ServerName
    public_key: bytes


def parse_policy_server(content: Mapping[str, Any]) -> PolicyServer | None:
    """The server that an ``m.room.policy`` names; None if that is not valid.

    Two strings make it valid. If one is no key, nothing can be signed by it.
    """
    via, keys = content.get("via"), content.get("public_keys")
    key = keys.get(ALGORITHM) if isinstance(keys, dict) else None
    if not isinstance(via, str) or not isinstance(key, str):
        return None
    try:
        public_key = decode_base64(key)
    except ValueError:
        public_key = b""
    return PolicyServer(ServerName(via), public_key)


def is_exempt(event_type: str, state_key: str | None) -> bool:
    """Whether an event is sent without a policy server, lest one that is out of reach
    could not be replaced.
    """
    return (event_type, state_key) == POLICY


def is_signed_by(server: PolicyServer, version: RoomVersion, built: BuiltEvent) -> bool:
    """Whether *built* has a valid signature of the policy server *server*."""
    pdu = pdu_json(version, built.client_json, built.server_json)
    signature = pdu["signatures"].get(server.name, {}).get(POLICY_KEY_ID)
    try:
        verify_bytes(server.public_key, signature, signed_bytes(version, pdu))
    except BadSignature:
        return False
    return True


def with_policy_signature(
    server: PolicyServer, version: RoomVersion, built: BuiltEvent, answer: object
) -> BuiltEvent:
    """*built* with the signature in *answer*, that of SS ``askPolicyServerToSign``.

    Its other signatures stay, also those that *server* has made as the sender's.

    Raises:
        BadSignature: there is none in *answer*, or it is not one of *built*.
        TooLarge: it makes the event larger than an event may be.
    """
    theirs = answer.get(server.name) if isinstance(answer, dict) else None
    signature = theirs.get(POLICY_KEY_ID) if isinstance(theirs, dict) else None
    pdu = pdu_json(version, built.client_json, built.server_json)
    verify_bytes(server.public_key, signature, signed_bytes(version, pdu))
    assert isinstance(signature, str)
    # Base64 may be padded at will: what is stored, and sent on, is not.
    canonical = encode_base64(decode_base64(signature))
    server_part = loads_exact(built.server_json)
    signatures = server_part["signatures"]
    own = {**signatures.get(server.name, {}), POLICY_KEY_ID: canonical}
    added = {"signatures": {**signatures, server.name: own}}
    size_bytes = len(encode_event_json(version, {**pdu, **added}))
    check_size(built.event, pdu_size_bytes=size_bytes)
    server_json = encode_event_json(version, {**server_part, **added})
    return replace(built, server_json=server_json)
