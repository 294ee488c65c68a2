"""One-time keys as they are written, usually and otherwise."""

import sys
from types import FrameType

import orjson
import pytest
from msgspec import Raw

from tremula.protocol.canonical import encode_canonical
from tremula.protocol.errors import InvalidParam, MatrixError
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.json import parse_json
from tremula.protocol.one_time_keys import OneTimeKey, parse_one_time_keys

ALICE = UserId("@alice:test")
PHONE = DeviceId("PHONE")
NAME = "signed_curve25519:AAAAHQ"
SIGNATURE = "s" * 86


def key(user_id: str = ALICE, device_id: str = PHONE) -> dict[str, object]:
    signatures = {user_id: {f"ed25519:{device_id}": SIGNATURE}}
    return {"key": "k" * 43, "signatures": signatures}


USUAL = orjson.dumps(key())


def parse(
    text: bytes, user_id: UserId = ALICE, device_id: DeviceId = PHONE
) -> OneTimeKey:
    [parsed] = parse_one_time_keys(user_id, device_id, {NAME: Raw(text)})
    return parsed


@pytest.mark.parametrize(
    "text",
    [
        USUAL,
        USUAL.replace(b'":', b'": '),
        orjson.dumps(dict(reversed(key().items()))),
        USUAL.replace(b"alice", b"\\u0061lice"),
    ],
)
def test_what_is_kept_is_canonical_however_a_key_is_written(text: bytes) -> None:
    assert parse(text) == OneTimeKey("signed_curve25519", "AAAAHQ", USUAL)


def test_what_else_a_key_says_is_kept() -> None:
    more = {**key(), "fallback": True, "org.example": {"b": "é", "a": [1]}}

    assert parse(orjson.dumps(more)).content == encode_canonical(more)


@pytest.mark.parametrize(
    ("user_id", "device_id"),
    [("@zoë:test", "é"), ("@a:test", 'quoted"'), ("@a:test", "back\\slash")],
)
def test_a_signature_is_found_whatever_its_device_is_called(
    user_id: str, device_id: str
) -> None:
    signed = key(user_id, device_id)

    parsed = parse(orjson.dumps(signed), UserId(user_id), DeviceId(device_id))

    assert parsed.content == encode_canonical(signed)


@pytest.mark.parametrize(
    "text",
    [
        orjson.dumps(key("@mallory:test")),
        orjson.dumps(key(device_id="OTHER")),
        # As if the device's name ended the name of the key.
        orjson.dumps(key(device_id='x":"y","ed25519:PHONE')),
        USUAL.replace(b"k" * 43, b"k" * 42 + b"?"),
        USUAL.replace(SIGNATURE.encode() + b'"', b"1"),
    ],
)
def test_a_key_that_is_nearly_the_usual_one_is_refused(text: bytes) -> None:
    with pytest.raises(MatrixError):
        parse(text)


def test_another_algorithm_may_look_like_a_signed_key() -> None:
    [parsed] = parse_one_time_keys(ALICE, PHONE, {"org.example:1": Raw(USUAL)})
    assert parsed.content == USUAL
    with pytest.raises(InvalidParam):
        parse_one_time_keys(ALICE, PHONE, {"curve25519:1": Raw(USUAL)})


def test_a_key_that_is_written_as_usual_is_not_decoded() -> None:
    """It is what an upload of 50 keys consists of."""
    decoded: list[str] = []

    def look(frame: FrameType, event: str, _arg: object) -> None:
        if event == "call" and frame.f_code is parse_json.__code__:
            decoded.append(frame.f_code.co_name)

    sys.setprofile(look)
    try:
        parse(USUAL)
        parse(USUAL.replace(b'":', b'": '))
    finally:
        sys.setprofile(None)

    assert len(decoded) == 1, "that with spaces"
