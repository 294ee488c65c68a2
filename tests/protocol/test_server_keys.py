"""What servers publish of their keys, and what is left of it after checking."""

from typing import Any

import pytest
from hypothesis import given

from tests.protocol.strategies import JSON_VALUES
from tests.protocol.test_signing import SEED
from tremula.protocol.base64 import decode_base64, encode_base64
from tremula.protocol.errors import BadJson
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import (
    VALIDITY_MS_MAX,
    KeyNeed,
    OldKey,
    VerifyKey,
    is_insecure,
    parse_server_keys,
    publish_server_keys,
)
from tremula.protocol.signing import BadSignature, SigningKey, sign_json

NOW = 1_700_000_000_000
DAY = 24 * 60 * 60 * 1000
EXAMPLE = ServerName("example.org")
KEY = SigningKey.from_seed("ed25519:new", b"\x01" * 32)
OTHER_KEY = SigningKey.from_seed("ed25519:other", b"\x02" * 32)
OLD = OldKey(
    "ed25519:old", SigningKey.from_seed("", b"\x03" * 32).public_key, NOW - DAY
)
# What a chart made for everybody: Go's `math/rand`, whose seed was left at its default.
ESS_SEED = decode_base64("AZT9wvov/MBB0/8SBFtzyG5P+V/2YqXu6Cq99EotC3U")


def published(
    *, valid_until_ts: int = NOW + DAY, key: SigningKey = KEY
) -> dict[str, Any]:
    return publish_server_keys(EXAMPLE, key, (OLD,), valid_until_ts=valid_until_ts)


def signed(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """A list with *changes*, then signed."""
    raw = {**published(), **changes}
    del raw["signatures"]
    return sign_json(raw, EXAMPLE, KEY)


def test_what_is_published_is_read_again() -> None:
    keys = parse_server_keys(published(), EXAMPLE, now_ms=NOW)

    assert keys.server_name == EXAMPLE
    assert keys.valid_until_ts == NOW + DAY
    assert keys.verify_keys == {
        "ed25519:new": VerifyKey(KEY.public_key, NOW + DAY),
        "ed25519:old": VerifyKey(OLD.public_key, NOW - DAY),
    }


def test_no_key_counts_for_more_than_seven_days() -> None:
    raw = published(valid_until_ts=NOW + 365 * DAY)

    keys = parse_server_keys(raw, EXAMPLE, now_ms=NOW)

    assert VALIDITY_MS_MAX == 7 * DAY
    assert keys.verify_keys["ed25519:new"].valid_until_ts == NOW + 7 * DAY
    assert keys.valid_until_ts == NOW + 365 * DAY


def test_keys_of_another_server_are_refused() -> None:
    with pytest.raises(BadJson):
        parse_server_keys(published(), ServerName("other.org"), now_ms=NOW)


@pytest.mark.parametrize(
    "signatures", [{}, None, {"example.org": {}}, {"other.org": {}}]
)
def test_an_unsigned_list_is_refused(signatures: object) -> None:
    with pytest.raises(BadSignature):
        parse_server_keys(
            {**published(), "signatures": signatures}, EXAMPLE, now_ms=NOW
        )


def test_a_changed_list_is_refused() -> None:
    raw = {**published(), "valid_until_ts": NOW + 2 * DAY}

    with pytest.raises(BadSignature):
        parse_server_keys(raw, EXAMPLE, now_ms=NOW)


def test_a_list_signed_by_a_key_that_it_does_not_name_is_refused() -> None:
    raw = published()
    del raw["signatures"]

    with pytest.raises(BadSignature):
        parse_server_keys(sign_json(raw, EXAMPLE, OTHER_KEY), EXAMPLE, now_ms=NOW)


def test_an_old_key_cannot_sign_a_list() -> None:
    key = encode_base64(OTHER_KEY.public_key)
    raw = published()
    del raw["signatures"]
    raw["old_verify_keys"] = {"ed25519:other": {"key": key, "expired_ts": NOW}}

    with pytest.raises(BadSignature):
        parse_server_keys(sign_json(raw, EXAMPLE, OTHER_KEY), EXAMPLE, now_ms=NOW)


@pytest.mark.parametrize(
    "entry",
    [None, 1, {}, {"key": 1}, {"key": "*"}, {"key": "AAAA"}, {"key": "A" * 10_000}],
)
def test_malformed_keys_are_left_out(entry: object) -> None:
    raw = published()["verify_keys"] | {"ed25519:odd": entry}
    old = {"ed25519:odd": entry, "ed25519:undated": raw["ed25519:new"]}

    keys = parse_server_keys(
        signed(verify_keys=raw, old_verify_keys=old), EXAMPLE, now_ms=NOW
    )

    assert set(keys.verify_keys) == {"ed25519:new"}


@pytest.mark.parametrize("key_id", ["", "new", "rsa:1", "ed25519:", "ed25519:a b"])
def test_key_ids_of_another_kind_are_left_out(key_id: str) -> None:
    raw = published()["verify_keys"]
    raw |= {key_id: raw["ed25519:new"]}

    keys = parse_server_keys(signed(verify_keys=raw), EXAMPLE, now_ms=NOW)

    assert key_id not in keys.verify_keys


def test_a_present_key_is_not_old_as_well() -> None:
    old = {"ed25519:new": {"key": encode_base64(OLD.public_key), "expired_ts": 5}}

    keys = parse_server_keys(signed(old_verify_keys=old), EXAMPLE, now_ms=NOW)

    assert keys.verify_keys["ed25519:new"].public_key == KEY.public_key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("server_name", None),
        ("server_name", "other.org"),
        ("verify_keys", []),
        ("verify_keys", None),
        ("old_verify_keys", []),
        ("valid_until_ts", None),
        ("valid_until_ts", "1"),
        ("valid_until_ts", True),
    ],
)
def test_malformed_lists_are_refused(key: str, value: object) -> None:
    with pytest.raises(BadJson):
        parse_server_keys(signed(**{key: value}), EXAMPLE, now_ms=NOW)


def test_numbers_are_canonical() -> None:
    for number in (1.5, 2**53):
        raw = {**published(), "valid_until_ts": number}
        with pytest.raises(BadJson):
            parse_server_keys(raw, EXAMPLE, now_ms=NOW)


@given(JSON_VALUES)
def test_no_value_breaks_it(value: object) -> None:
    for key in published():
        try:
            parse_server_keys({**published(), key: value}, EXAMPLE, now_ms=NOW)
        except (BadJson, BadSignature):
            continue


@pytest.mark.parametrize("seed", [ESS_SEED, SEED], ids=["CVE-2026-24044", "vectors"])
def test_cve_2026_24044_known_keys_prove_nothing(seed: bytes) -> None:
    insecure = SigningKey.from_seed("ed25519:0", seed)
    entry = {"key": encode_base64(insecure.public_key)}
    both = {**published()["verify_keys"], "ed25519:0": entry}
    old = {"ed25519:0": {**entry, "expired_ts": NOW}}

    assert is_insecure(insecure.public_key)
    with pytest.raises(BadSignature):
        parse_server_keys(published(key=insecure), EXAMPLE, now_ms=NOW)
    for raw in (signed(verify_keys=both), signed(old_verify_keys=old)):
        keys = parse_server_keys(raw, EXAMPLE, now_ms=NOW)
        assert "ed25519:0" not in keys.verify_keys


@pytest.mark.parametrize(
    ("strict", "valid_until_ts", "is_met"),
    [(True, NOW, True), (True, NOW - 1, False), (False, 0, True)],
)
def test_a_need_is_met_by_a_key_that_is_valid_then(
    strict: bool, valid_until_ts: int, is_met: bool
) -> None:
    need = KeyNeed(EXAMPLE, "ed25519:new", NOW, strict=strict)

    assert need.is_met_by(VerifyKey(KEY.public_key, valid_until_ts)) is is_met
    assert not need.is_met_by(None)
