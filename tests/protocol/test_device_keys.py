"""Device keys and cross-signing keys: what is taken, and all that is not."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.protocol.strategies import JSON_OBJECTS
from tremula.protocol.base64 import decode_base64, encode_base64
from tremula.protocol.device_keys import (
    KEY_BYTES_MAX,
    Usage,
    check_signed,
    decode_key,
    parse_cross_signing_key,
    parse_device_keys,
)
from tremula.protocol.errors import (
    BadJson,
    InvalidParam,
    InvalidSignature,
    MatrixError,
    MissingParam,
    TooLarge,
)
from tremula.protocol.identifiers import DeviceId, UserId

Json = dict[str, Any]

ALICE = UserId("@alice:test")
PHONE = DeviceId("PHONE")
DEVICE = CryptoDevice(ALICE, PHONE)
IDENTITY = CrossSigningIdentity(ALICE)
ED25519 = "ed25519:PHONE"
OTHER = CryptoDevice("@mallory:test", "OTHER")


def test_the_keys_of_a_device_are_taken_with_its_signature() -> None:
    keys = parse_device_keys(DEVICE.keys(), ALICE, PHONE)

    assert keys.content == DEVICE.keys()
    assert keys.ed25519 == DEVICE.key.public_key


def test_what_others_add_to_device_keys_is_left_out() -> None:
    raw = {**OTHER.sign(DEVICE.keys()), "unsigned": {"device_display_name": "x"}}

    assert parse_device_keys(raw, ALICE, PHONE).content == DEVICE.keys()


def test_fields_that_we_do_not_know_stay_in_device_keys() -> None:
    """They are signed, such as ``dehydrated``."""
    raw = DEVICE.keys(dehydrated=True)

    assert parse_device_keys(raw, ALICE, PHONE).content == raw


def broken(**changed: object) -> Json:
    """Keys with other fields, signed by the device."""
    return DEVICE.keys(**changed)


def with_keys(**changed: object) -> Json:
    return broken(keys={**DEVICE.unsigned_keys()["keys"], **changed})


MALFORMED: list[tuple[object, type[MatrixError]]] = [
    (None, BadJson),
    ([], BadJson),
    ("keys", BadJson),
    ({}, InvalidParam),
    (broken(user_id="@bob:test"), InvalidParam),
    (broken(device_id="LAPTOP"), InvalidParam),
    (broken(device_id=7), InvalidParam),
    (broken(algorithms=None), BadJson),
    (broken(algorithms="m.olm"), BadJson),
    (broken(algorithms=[7]), BadJson),
    (broken(algorithms=["x"] * 65), BadJson),
    (broken(keys=None), BadJson),
    (broken(keys=[]), BadJson),
    (broken(keys={}), MissingParam),
    (broken(keys={"curve25519:PHONE": IDENTITY.name("master")}), MissingParam),
    (with_keys(**{ED25519: 7}), BadJson),
    (with_keys(**{ED25519: "short"}), InvalidParam),
    (with_keys(**{ED25519: "A" * 44}), InvalidParam),
    (with_keys(**{ED25519: "*" * 43}), InvalidParam),
    (with_keys(**{ED25519: "ä" * 43}), InvalidParam),
    (with_keys(**{"curve25519:PHONE": ""}), InvalidParam),
    (with_keys(**{"curve25519:LAPTOP": IDENTITY.name("master")}), InvalidParam),
    (with_keys(noname="x"), InvalidParam),
    (with_keys(**{"x" * 321: "x"}), BadJson),
    (with_keys(**{"x:PHONE": "x" * 8193}), BadJson),
    (with_keys(**{f"x{n}:PHONE": "x" for n in range(63)}), BadJson),
    ({**DEVICE.keys(), "number": 1.5}, BadJson),
    ({**DEVICE.keys(), "number": 2**63}, BadJson),
    ({**DEVICE.keys(), "text": "\ud800"}, BadJson),
    ({**DEVICE.keys(), "x": "x" * KEY_BYTES_MAX}, TooLarge),
    ({**DEVICE.keys(), "signatures": []}, BadJson),
    ({**DEVICE.keys(), "signatures": {ALICE: []}}, BadJson),
    ({**DEVICE.keys(), "signatures": {ALICE: {ED25519: 7}}}, BadJson),
    (DEVICE.unsigned_keys(), InvalidSignature),
    ({**DEVICE.keys(), "signatures": {}}, InvalidSignature),
    ({**DEVICE.keys(), "signatures": {ALICE: {ED25519: "x"}}}, InvalidSignature),
    ({**DEVICE.keys(), "signatures": {ALICE: {ED25519: "A" * 86}}}, InvalidSignature),
    ({**DEVICE.keys(), "algorithms": ["changed"]}, InvalidSignature),
    (CryptoDevice(ALICE, PHONE, "2").sign(DEVICE.unsigned_keys()), InvalidSignature),
]


@pytest.mark.parametrize(("raw", "error"), MALFORMED)
def test_malformed_device_keys_are_refused(
    raw: object, error: type[MatrixError]
) -> None:
    """HOSTILE: malformed device keys of a local or remote user (CVE-2025-61672)."""
    with pytest.raises(error):
        parse_device_keys(raw, ALICE, PHONE)


def test_keys_of_64_entries_are_the_most() -> None:
    raw = with_keys(**{f"x{number}:PHONE": "x" for number in range(62)})

    assert len(parse_device_keys(raw, ALICE, PHONE).content["keys"]) == 64


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    ["user_id", "device_id", "keys", "signatures", "usage", ALICE]
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=10,
    )
)
def test_no_junk_makes_the_checks_fail_otherwise(junk: object) -> None:
    with pytest.raises(MatrixError):
        parse_device_keys(junk, ALICE, PHONE)
    with pytest.raises(MatrixError):
        parse_cross_signing_key(junk, ALICE, Usage.MASTER)


@given(JSON_OBJECTS)
def test_junk_in_place_of_a_field_is_refused(junk: Json) -> None:
    for name in ("user_id", "device_id", "algorithms", "keys", "signatures"):
        with pytest.raises(MatrixError):
            parse_device_keys({**DEVICE.keys(), name: junk}, ALICE, PHONE)


@pytest.mark.parametrize("usage", Usage)
def test_a_cross_signing_key_is_taken(usage: Usage) -> None:
    raw = IDENTITY.public(usage)

    key = parse_cross_signing_key(raw, ALICE, usage)

    assert key.public_key == IDENTITY.name(usage)
    assert key.signed == {"signatures": {}, **raw}
    assert list(key.verify_keys) == [IDENTITY.key(usage).key_id]


NAME = IDENTITY.name("master")


def master(**changed: object) -> Json:
    """A master key with other fields."""
    return IDENTITY.public("master", **changed)


MALFORMED_CROSS: list[tuple[object, type[MatrixError]]] = [
    (None, BadJson),
    (master(user_id="@bob:test"), InvalidParam),
    (master(usage="master"), BadJson),
    (master(usage=["self_signing"]), InvalidParam),
    (master(usage=[["master"]]), BadJson),
    (master(keys={}), InvalidParam),
    (master(keys={f"ed25519:{NAME}": NAME, "ed25519:x": "x"}), InvalidParam),
    (master(keys={f"ed25519:{NAME}": 7}), BadJson),
    (master(keys={"ed25519:other": NAME}), InvalidParam),
    (master(keys={f"curve25519:{NAME}": NAME}), InvalidParam),
    (master(keys={f"ed25519:{NAME}=": f"{NAME}="}), InvalidParam),
    (master(keys={"ed25519:short": "short"}), InvalidParam),
    (master(signatures="x"), BadJson),
    (master(signatures={ALICE: {"ed25519:x": None}}), BadJson),
    (master(x="x" * KEY_BYTES_MAX), TooLarge),
]


@pytest.mark.parametrize(("raw", "error"), MALFORMED_CROSS)
def test_malformed_cross_signing_keys_are_refused(
    raw: object, error: type[MatrixError]
) -> None:
    with pytest.raises(error):
        parse_cross_signing_key(raw, ALICE, Usage.MASTER)


def test_a_signature_is_by_the_right_key() -> None:
    key = parse_cross_signing_key(master(), ALICE, Usage.MASTER)
    signed = IDENTITY.public("self_signing")
    check_signed(signed, ALICE, key.verify_keys)

    with pytest.raises(InvalidSignature):
        check_signed(signed, UserId("@bob:test"), key.verify_keys)
    with pytest.raises(InvalidSignature):
        check_signed({**signed, "usage": []}, ALICE, key.verify_keys)


def test_of_the_last_character_of_a_public_key_two_bits_are_of_no_byte() -> None:
    for last in string.ascii_letters + string.digits + "+/":
        written = NAME[:-1] + last
        decoded = decode_base64(written)
        if encode_base64(decoded) == written:
            assert decode_key(written) == decoded
        else:
            with pytest.raises(InvalidParam):
                decode_key(written)


def test_a_public_key_has_one_spelling() -> None:
    assert decode_key(NAME) == IDENTITY.key("master").public_key
    for other in (f"{NAME}=", NAME[:-1], f" {NAME}", NAME.replace("/", "_") + "=="):
        with pytest.raises(InvalidParam):
            decode_key(other)
