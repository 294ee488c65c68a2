"""Policy servers: which one a room names, and what counts as signed by it."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from tests.protocol.test_events import build, draft
from tremula.protocol.base64 import encode_base64
from tremula.protocol.errors import TooLarge
from tremula.protocol.event_format import PDU_BYTES_MAX
from tremula.protocol.event_values import BuiltEvent
from tremula.protocol.events import pdu_json
from tremula.protocol.hashes import encode_event_json, signed_bytes
from tremula.protocol.identifiers import ServerName
from tremula.protocol.policy_servers import (
    PolicyServer,
    is_exempt,
    is_signed_by,
    parse_policy_server,
    with_policy_signature,
)
from tremula.protocol.received_events import receive_pdu
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.protocol.signing import POLICY_KEY_ID, BadSignature, SigningKey

V11 = ROOM_VERSIONS["11"]
NAME = ServerName("policy.example.org")
KEY = SigningKey.from_seed(POLICY_KEY_ID, b"\x07" * 32)
OTHER_KEY = SigningKey.from_seed(POLICY_KEY_ID, b"\x08" * 32)
SERVER = PolicyServer(NAME, KEY.public_key)
PUBLIC = encode_base64(KEY.public_key)


def test_two_strings_make_a_policy_server() -> None:
    content = {"via": NAME, "public_keys": {"ed25519": PUBLIC}}
    assert parse_policy_server(content) == SERVER


def test_by_what_is_no_key_nothing_is_signed() -> None:
    """The room uses its policy server nevertheless: a string is all that it takes."""
    server = parse_policy_server(
        {"via": NAME, "public_keys": {"ed25519": "\N{SNOWMAN}"}}
    )

    assert server is not None
    assert server.public_key == b""
    with pytest.raises(BadSignature):
        with_policy_signature(server, V11, event(), answer(event()))


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"via": NAME},
        {"public_keys": {"ed25519": PUBLIC}},
        {"via": [NAME], "public_keys": {"ed25519": PUBLIC}},
        {"via": NAME, "public_keys": PUBLIC},
        {"via": NAME, "public_keys": {"curve25519": PUBLIC}},
        {"via": NAME, "public_keys": {"ed25519": {"key": PUBLIC}}},
    ],
)
def test_anything_less_names_none(content: dict[str, Any]) -> None:
    assert parse_policy_server(content) is None


@pytest.mark.parametrize(
    ("event_type", "state_key", "exempt"),
    [
        ("m.room.policy", "", True),
        ("m.room.policy", "x", False),
        ("m.room.policy", None, False),
        ("m.room.member", "", False),
        ("m.room.message", None, False),
    ],
)
def test_only_the_state_that_names_it_is_exempt(
    event_type: str, state_key: str | None, exempt: bool
) -> None:
    assert is_exempt(event_type, state_key) is exempt


def event(**content: str) -> BuiltEvent:
    return build(V11, draft(content=content))


def signature_of(built: BuiltEvent, key: SigningKey = KEY) -> str:
    pdu = pdu_json(V11, built.client_json, built.server_json)
    return key.sign(signed_bytes(V11, pdu))


def answer(built: BuiltEvent, key: SigningKey = KEY) -> dict[str, Any]:
    return {NAME: {POLICY_KEY_ID: signature_of(built, key)}}


def signatures_of(built: BuiltEvent) -> dict[str, dict[str, str]]:
    pdu = pdu_json(V11, built.client_json, built.server_json)
    found: dict[str, dict[str, str]] = pdu["signatures"]
    return found


def test_its_signature_is_added_to_those_that_are_there() -> None:
    built = event(body="hello")
    signed = with_policy_signature(SERVER, V11, built, answer(built))

    assert not is_signed_by(SERVER, V11, built)
    assert is_signed_by(SERVER, V11, signed)
    assert signed.client_json == built.client_json
    assert signatures_of(signed) == {**signatures_of(built), **answer(built)}


def test_the_signature_as_sender_stays_when_its_own_is_replaced() -> None:
    """ "[E]xisting signatures [...] should be retained"; a new key counts at once."""
    built = event()
    parts = {NAME: {"ed25519:1": "s", **answer(built, OTHER_KEY)[NAME]}}
    old = _with_signatures(built, parts)

    signed = with_policy_signature(SERVER, V11, old, answer(built))

    assert not is_signed_by(SERVER, V11, old)
    assert signatures_of(signed)[NAME] == {"ed25519:1": "s", **answer(built)[NAME]}


def _with_signatures(
    built: BuiltEvent, added: Mapping[ServerName, dict[str, str]]
) -> BuiltEvent:
    pdu = pdu_json(V11, built.client_json, built.server_json)
    pdu["signatures"] |= added
    return receive_pdu(V11, pdu).stored


HOSTILE_ANSWERS: dict[str, object] = {
    "nothing": {},
    "a list": [],
    "text": "signed",
    "of another server": {"other.org": {POLICY_KEY_ID: signature_of(event())}},
    "by another key ID": {NAME: {"ed25519:1": signature_of(event())}},
    "no object": {NAME: signature_of(event())},
    "no string": {NAME: {POLICY_KEY_ID: 7}},
    "no Base64": {NAME: {POLICY_KEY_ID: "\N{SNOWMAN}"}},
    "too short": {NAME: {POLICY_KEY_ID: "AAAA"}},
    "by another key": answer(event(), OTHER_KEY),
    "of an event that it changed": answer(event(body="nicer")),
}


@pytest.mark.parametrize("given", HOSTILE_ANSWERS.values(), ids=list(HOSTILE_ANSWERS))
def test_what_is_no_signature_of_the_event_is_refused(given: object) -> None:
    with pytest.raises(BadSignature):
        with_policy_signature(SERVER, V11, event(), given)


def test_a_signature_takes_no_more_room_than_it_needs() -> None:
    built = event()
    padded = signature_of(built) + "=" * 10_000

    signed = with_policy_signature(SERVER, V11, built, {NAME: {POLICY_KEY_ID: padded}})

    assert signatures_of(signed)[NAME][POLICY_KEY_ID] == signature_of(built)


def test_an_event_that_its_signature_makes_too_large_is_refused() -> None:
    small = event(body="")
    pdu = pdu_json(V11, small.client_json, small.server_json)
    spare = PDU_BYTES_MAX - len(encode_event_json(V11, pdu))
    largest = event(body="x" * spare)

    with pytest.raises(TooLarge):
        with_policy_signature(SERVER, V11, largest, answer(largest))


def test_what_it_signs_says_nothing_of_the_sender() -> None:
    """Nobody asks a server for a key by that ID."""
    built = event()
    own = ServerName(built.event.sender.partition(":")[2])
    signed = with_policy_signature(
        replace(SERVER, name=own),
        V11,
        built,
        {own: {POLICY_KEY_ID: signature_of(built)}},
    )

    received = receive_pdu(V11, pdu_json(V11, signed.client_json, signed.server_json))

    assert POLICY_KEY_ID in signatures_of(signed)[own]
    assert [need.key_id for need in received.key_needs()] == list(
        signatures_of(built)[own]
    )
