"""One-time keys as they are written, usually and otherwise."""

import sys
from collections.abc import Sequence
from types import FrameType

import orjson
import pytest

from tremula.protocol.canonical import encode_canonical
from tremula.protocol.errors import BadJson, InvalidParam, MatrixError, NotJson
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.json import parse_json
from tremula.protocol.one_time_keys import KeyBatch, OneTimeKey, parse_one_time_keys

ALICE = UserId("@alice:test")
PHONE = DeviceId("PHONE")
NAME = "signed_curve25519:AAAAHQ"
SIGNATURE = "s" * 86


def key(user_id: str = ALICE, device_id: str = PHONE) -> dict[str, object]:
    signatures = {user_id: {f"ed25519:{device_id}": SIGNATURE}}
    return {"key": "k" * 43, "signatures": signatures}


USUAL = orjson.dumps(key())


def named(text: bytes, name: str = NAME) -> bytes:
    return b'{"%b":%b}' % (name.encode(), text)


def parse(
    text: bytes,
    user_id: UserId = ALICE,
    device_id: DeviceId = PHONE,
    name: str = NAME,
) -> OneTimeKey:
    [parsed] = keys_of(parse_one_time_keys(user_id, device_id, named(text, name)))
    return parsed


def keys_of(batches: Sequence[KeyBatch]) -> list[OneTimeKey]:
    return [
        OneTimeKey(batch.algorithm, key_id, content)
        for batch in batches
        for key_id, content in zip(batch.key_ids, batch.contents, strict=True)
    ]


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


def test_several_keys_are_taken_in_their_order_however_they_are_written() -> None:
    texts = [USUAL, USUAL.replace(b'"key":', b'"key": '), USUAL]
    names = ["signed_curve25519:b", "signed_curve25519:a", "org.example:b"]
    wanted = [
        OneTimeKey(algorithm, key_id, USUAL)
        for algorithm, _, key_id in (name.partition(":") for name in names)
    ]
    pairs = list(zip(names, texts, strict=True))

    def members(first: int, last: int) -> bytes:
        chosen = pairs[first:last]
        return b"{%b}" % b",".join(named(text, name)[1:-1] for name, text in chosen)

    for first, last in ((0, 1), (0, 2), (0, 3), (1, 3)):
        parsed = parse_one_time_keys(ALICE, PHONE, members(first, last))
        assert keys_of(parsed) == wanted[first:last]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"{%b,%b}" % (named(USUAL)[1:-1], named(USUAL)[1:-1]), NotJson),
        (named(USUAL).replace(b"AAAAHQ", b"\xff"), NotJson),
        (named(USUAL).replace(b"AAAAHQ", b"\\ud800"), NotJson),
        (b'["%b"]' % named(USUAL).replace(b'"', b"'"), BadJson),
        (b"null", BadJson),
    ],
)
def test_what_is_no_object_of_keys_is_refused(
    raw: bytes, error: type[MatrixError]
) -> None:
    with pytest.raises(error):
        parse_one_time_keys(ALICE, PHONE, raw)


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
    parsed = parse(USUAL, name="org.example:1")
    assert parsed.content == USUAL
    with pytest.raises(InvalidParam):
        parse_one_time_keys(ALICE, PHONE, named(USUAL, "curve25519:1"))


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
