"""Signatures: the test vectors of the Appendices, and forgeries of all kinds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.event_signatures import verify_event_signatures
from tests.protocol.strategies import JSON_OBJECTS
from tremula.protocol.base64 import decode_base64, encode_base64
from tremula.protocol.errors import BadJson
from tremula.protocol.identifiers import ServerName
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.protocol.signing import (
    BadSignature,
    SigningKey,
    generate,
    required_signers,
    sign_event,
    sign_json,
    verify_json,
)

SEED = decode_base64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
KEY = SigningKey.from_seed("ed25519:1", SEED)
OTHER_KEY = SigningKey.from_seed("ed25519:2", b"\x01" * 32)
DOMAIN = ServerName("domain")
VERIFY_KEYS = {KEY.key_id: KEY.public_key}

MINIMAL: dict[str, Any] = {
    "room_id": "!x:domain",
    "sender": "@a:domain",
    "origin": "domain",
    "origin_server_ts": 1000000,
    "signatures": {},
    "hashes": {},
    "type": "X",
    "content": {},
    "prev_events": [],
    "auth_events": [],
    "depth": 3,
    "unsigned": {"age_ts": 1000000},
}
MESSAGE: dict[str, Any] = {
    "content": {"body": "Here is the message content"},
    "event_id": "$0:domain",
    "origin": "domain",
    "origin_server_ts": 1000000,
    "type": "m.room.message",
    "room_id": "!r:domain",
    "sender": "@u:domain",
    "signatures": {},
    "unsigned": {"age_ts": 1000000},
}


@pytest.mark.parametrize(
    ("value", "signature"),
    [
        (
            {},
            "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGY"
            "ZzuHGZKM5ZAQ",
        ),
        (
            {"one": 1, "two": "Two"},
            "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13E"
            "IMJpvhJI+6Bw",
        ),
    ],
)
def test_the_json_vectors(value: dict[str, Any], signature: str) -> None:
    assert sign_json(value, "domain", KEY) == {
        **value,
        "signatures": {"domain": {"ed25519:1": signature}},
    }


@pytest.mark.parametrize("number", range(1, 11))
@pytest.mark.parametrize(
    ("event", "content_hash", "signature"),
    [
        (
            MINIMAL,
            "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos",
            "KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMs"
            "zkwsQma+lYAg",
        ),
        (
            MESSAGE,
            "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g",
            "Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA"
            "5McEiVPdhzBA",
        ),
    ],
)
def test_the_event_vectors(
    number: int, event: dict[str, Any], content_hash: str, signature: str
) -> None:
    """They hold in all versions that keep ``origin``, that is until 10."""
    signed = sign_event(ROOM_VERSIONS[str(number)], event, "domain", KEY)

    assert signed == {
        **event,
        "hashes": {"sha256": content_hash},
        "signatures": {"domain": {"ed25519:1": signature}},
    }


def test_a_generated_key_is_named_after_its_public_key() -> None:
    key = generate(SEED)

    assert key.public_key == KEY.public_key
    assert key.key_id == generate(SEED).key_id != generate(b"\x01" * 32).key_id
    assert key.key_id.startswith("ed25519:")


def test_a_secret_is_not_printed() -> None:
    assert SEED.hex() not in repr(KEY)
    assert repr(SEED) not in repr(KEY)


def test_signing_adds_to_the_signatures_that_are_there() -> None:
    once = sign_json({"a": 1, "unsigned": {"age": 5}}, "domain", KEY)
    twice = sign_json(sign_json(once, "domain", OTHER_KEY), "elsewhere", KEY)

    assert set(twice["signatures"]["domain"]) == {"ed25519:1", "ed25519:2"}
    assert twice["unsigned"] == {"age": 5}
    assert set(once["signatures"]) == {"domain"}
    verify_json(twice, "domain", VERIFY_KEYS)
    verify_json(twice, "domain", {**VERIFY_KEYS, "ed25519:2": OTHER_KEY.public_key})
    verify_json(twice, "elsewhere", VERIFY_KEYS)


def test_unsigned_is_not_covered() -> None:
    signed = sign_json({"a": 1}, "domain", KEY)

    verify_json({**signed, "unsigned": {"x": 1.5}}, "domain", VERIFY_KEYS)


@given(JSON_OBJECTS)
def test_what_was_signed_verifies(value: dict[str, Any]) -> None:
    value.pop("signatures", None)

    verify_json(sign_json(value, "domain", KEY), "domain", VERIFY_KEYS)


@given(JSON_OBJECTS, st.integers(min_value=0, max_value=511))
def test_one_flipped_bit_is_noticed(value: dict[str, Any], bit: int) -> None:
    value.pop("signatures", None)
    signed = sign_json(value, "domain", KEY)
    raw = bytearray(decode_base64(signed["signatures"]["domain"]["ed25519:1"]))
    raw[bit // 8] ^= 1 << bit % 8
    forged = {"domain": {"ed25519:1": encode_base64(bytes(raw))}}

    with pytest.raises(BadSignature):
        verify_json({**value, "signatures": forged}, "domain", VERIFY_KEYS)


GOOD = sign_json({"a": 1}, "domain", KEY)["signatures"]["domain"]["ed25519:1"]


@pytest.mark.parametrize(
    "signatures",
    [
        None,
        [],
        "x",
        {},
        {"domain": None},
        {"domain": "x"},
        {"domain": {}},
        {"elsewhere": {"ed25519:1": GOOD}},
        {"domain": {"ed25519:2": GOOD}},
        {"domain": {"rsa:1": GOOD}},
        {"domain": {"ed25519:1": None}},
        {"domain": {"ed25519:1": ""}},
        {"domain": {"ed25519:1": "*"}},
        {"domain": {"ed25519:1": "é"}},
        {"domain": {"ed25519:1": GOOD[:-4]}},
        {"domain": {"ed25519:1": GOOD + "AAAA"}},
        {"domain": {"ed25519:1": "A" * 86}},
    ],
)
def test_a_missing_or_malformed_signature_is_refused(signatures: object) -> None:
    with pytest.raises(BadSignature):
        verify_json({"a": 1, "signatures": signatures}, "domain", VERIFY_KEYS)


def test_the_good_signature_of_these_tests_is_good() -> None:
    signed = {"a": 1, "signatures": {"domain": {"ed25519:1": GOOD}}}

    verify_json(signed, "domain", VERIFY_KEYS)
    with pytest.raises(BadSignature):
        verify_json({**signed, "a": 2}, "domain", VERIFY_KEYS)
    with pytest.raises(BadSignature, match="length"):
        verify_json(signed, "domain", {"ed25519:1": b"short"})


def test_a_wrong_signature_by_a_second_known_key_is_refused() -> None:
    both = {"ed25519:1": GOOD, "ed25519:2": GOOD}
    signed = {"a": 1, "signatures": {"domain": both}}

    verify_json(signed, "domain", VERIFY_KEYS)
    with pytest.raises(BadSignature):
        verify_json(
            signed, "domain", {**VERIFY_KEYS, "ed25519:2": OTHER_KEY.public_key}
        )


def test_only_canonical_json_can_be_signed() -> None:
    with pytest.raises(BadJson):
        sign_json({"a": 1.5}, "domain", KEY)


@pytest.mark.parametrize("signatures", [None, [], "x", {"domain": None}])
def test_nothing_is_signed_beside_malformed_signatures(signatures: object) -> None:
    with pytest.raises(BadJson):
        sign_json({"signatures": signatures}, "domain", KEY)


@pytest.mark.parametrize("number", range(1, 13))
def test_the_signature_of_an_event_survives_redaction(number: int) -> None:
    version = ROOM_VERSIONS[str(number)]
    signed = sign_event(version, MESSAGE, "domain", KEY)

    verify_event_signatures(version, signed, {DOMAIN: VERIFY_KEYS})
    verify_event_signatures(version, {**signed, "content": {}}, {DOMAIN: VERIFY_KEYS})
    with pytest.raises(BadSignature):
        verify_event_signatures(version, {**signed, "depth": 9}, {DOMAIN: VERIFY_KEYS})
    with pytest.raises(BadSignature):
        verify_event_signatures(version, signed, {})


def test_an_event_of_an_old_room_may_hold_floats() -> None:
    event = {**MESSAGE, "content": {"x": 1.5}}

    signed = sign_event(ROOM_VERSIONS["5"], event, "domain", KEY)

    verify_event_signatures(ROOM_VERSIONS["5"], signed, {DOMAIN: VERIFY_KEYS})
    with pytest.raises(BadJson):
        sign_event(ROOM_VERSIONS["6"], event, "domain", KEY)


@pytest.mark.parametrize(
    ("number", "event_type", "content", "signers"),
    [
        (1, "m.room.message", {}, {"sender", "chooser"}),
        (2, "m.room.message", {}, {"sender", "chooser"}),
        (3, "m.room.message", {}, {"sender"}),
        (
            2,
            "m.room.member",
            {"membership": "invite", "third_party_invite": {}},
            {"chooser"},
        ),
        (
            12,
            "m.room.member",
            {"membership": "invite", "third_party_invite": {}},
            set(),
        ),
        (
            12,
            "m.room.member",
            {"membership": "join", "third_party_invite": {}},
            {"sender"},
        ),
        (
            12,
            "m.room.message",
            {"membership": "invite", "third_party_invite": {}},
            {"sender"},
        ),
        (
            7,
            "m.room.member",
            {"join_authorised_via_users_server": "@a:via"},
            {"sender"},
        ),
        (
            8,
            "m.room.member",
            {"join_authorised_via_users_server": "@a:via"},
            {"sender", "via"},
        ),
        (8, "m.room.member", {"join_authorised_via_users_server": 1}, {"sender"}),
        (
            8,
            "m.room.message",
            {"join_authorised_via_users_server": "@a:via"},
            {"sender"},
        ),
    ],
)
def test_the_servers_that_must_have_signed(
    number: int, event_type: str, content: dict[str, Any], signers: set[str]
) -> None:
    pdu = {
        "type": event_type,
        "content": content,
        "sender": "@a:sender",
        "event_id": "$e:chooser",
    }

    assert required_signers(ROOM_VERSIONS[str(number)], pdu) == signers
