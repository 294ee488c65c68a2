"""Events of other servers: format, hash, signatures, and what is stored of them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import JSON_OBJECTS, JSON_VALUES
from tests.protocol.test_events import (
    ALICE,
    KEY,
    VERSIONS,
    build,
    draft,
    each_version,
)
from tremula.protocol.base64 import encode_base64
from tremula.protocol.errors import BadJson, TooLarge
from tremula.protocol.events import (
    EventDraft,
    content_hash,
    event_id_of,
    pdu_json,
    redact,
)
from tremula.protocol.identifiers import EventId, ServerName
from tremula.protocol.json import parse_json_exact
from tremula.protocol.received_events import (
    SIGNATURES_PER_SERVER_MAX,
    ReceivedEvent,
    bad_signatures,
    check_signatures,
    receive_pdu,
)
from tremula.protocol.room_versions import ROOM_VERSIONS, RoomVersion
from tremula.protocol.server_keys import KnownKeys, VerifyKey
from tremula.protocol.signing import BadSignature, SigningKey, sign_event

V1, V3, V4, V5, V6, V8, V10, V12 = (
    ROOM_VERSIONS[number] for number in ("1", "3", "4", "5", "6", "8", "10", "12")
)
NOW = 1_700_000_000_000
EXAMPLE = ServerName("example.org")
OTHER = ServerName("other.org")
OTHER_KEY = SigningKey.from_seed("ed25519:other", b"\x05" * 32)
SECOND_KEY = SigningKey.from_seed("ed25519:2", b"\x06" * 32)


def known(valid_until_ts: int = NOW) -> KnownKeys:
    return {
        (EXAMPLE, KEY.key_id): VerifyKey(KEY.public_key, valid_until_ts),
        (OTHER, OTHER_KEY.key_id): VerifyKey(OTHER_KEY.public_key, valid_until_ts),
    }


def pdu_of(version: RoomVersion, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """An event by Alice, hashed and signed after *changes*."""
    built = build(version, draft())
    pdu = pdu_json(version, built.client_json, built.server_json)
    del pdu["signatures"]
    return sign_event(version, {**pdu, **changes}, EXAMPLE, KEY)


def put_together(version: RoomVersion, received: ReceivedEvent) -> dict[str, Any]:
    stored = received.stored
    return pdu_json(version, stored.client_json, stored.server_json)


@each_version
@pytest.mark.parametrize(
    "event_draft",
    [
        draft(),
        draft("m.room.topic", {"topic": "\0 ä"}, state_key=""),
        draft("m.room.redaction", {}, redacts=EventId("$x:example.org")),
    ],
    ids=["message", "state", "redaction"],
)
def test_events_built_here_are_stored_alike_elsewhere(
    version: RoomVersion, event_draft: EventDraft
) -> None:
    built = build(version, event_draft)
    pdu = pdu_json(version, built.client_json, built.server_json)

    received = receive_pdu(version, pdu)

    assert received.stored == built
    assert not received.is_redacted
    check_signatures(received, known())


@each_version
def test_a_create_event_is_received(version: RoomVersion) -> None:
    create = draft("m.room.create", {"room_version": version.id}, state_key="")
    if version.room_id_is_create_hash:
        create = draft("m.room.create", {}, state_key="", room_id=None)
    built = build(version, create)

    received = receive_pdu(
        version, pdu_json(version, built.client_json, built.server_json)
    )

    assert received.stored == built


@each_version
@given(content=JSON_OBJECTS, unknown=JSON_OBJECTS, value=JSON_VALUES)
def test_the_stored_halves_make_the_pdu_again(
    version: RoomVersion,
    content: dict[str, Any],
    unknown: dict[str, Any],
    value: object,
) -> None:
    """Whatever keys it has besides: hashes cover those, too."""
    odd = {f"org.example.{key}": each for key, each in unknown.items()}
    odd |= {"origin": value, "prev_state": value, "redacts": value}
    pdu = pdu_of(version, **odd, content=content)

    received = receive_pdu(version, {**pdu, "unsigned": {"age": 1}})

    assert put_together(version, received) == pdu
    assert received.event.event_id == event_id_of(version, pdu)
    assert not received.is_redacted


@pytest.mark.parametrize("version", VERSIONS[2:], ids=lambda v: f"v{v.id}")
@pytest.mark.parametrize("value", ["$fake:example.org", 7, {"a": 1}])
def test_a_key_event_id_means_nothing_where_ids_are_hashes(
    version: RoomVersion, value: object
) -> None:
    pdu = pdu_of(version, event_id=value)

    received = receive_pdu(version, pdu)

    assert put_together(version, received) == pdu
    assert received.event.event_id == event_id_of(version, pdu) != value
    assert f'"event_id":"{received.event.event_id}"' in (
        received.stored.client_json.decode()
    )


@each_version
def test_a_wrong_content_hash_redacts(version: RoomVersion) -> None:
    pdu = pdu_of(version)
    forged = {**pdu, "content": {"body": "forged"}, "unknown": "forged"}

    received = receive_pdu(version, forged)

    assert received.is_redacted
    assert received.event.content == {}
    assert put_together(version, received) == redact(version, pdu)
    assert received.event.event_id == event_id_of(version, pdu)
    assert b"forged" not in received.stored.client_json + received.stored.server_json
    check_signatures(received, known())


@pytest.mark.parametrize("version", [V1, V10, V12], ids=lambda v: f"v{v.id}")
def test_what_redaction_keeps_is_kept_after_a_wrong_hash(version: RoomVersion) -> None:
    pdu = pdu_of(version, type="m.room.member", content={"membership": "ban"})
    forged = {**pdu, "content": {"membership": "ban", "displayname": "x"}}

    assert receive_pdu(version, forged).event.content == {"membership": "ban"}


@pytest.mark.parametrize("version", [V1, V10], ids=lambda v: f"v{v.id}")
def test_a_redaction_with_a_wrong_hash_redacts_nothing(version: RoomVersion) -> None:
    pdu = pdu_of(version, type="m.room.redaction", redacts="$x:example.org")

    assert receive_pdu(version, pdu).event.redacts == "$x:example.org"
    assert receive_pdu(version, {**pdu, "content": {}}).event.redacts is None


@pytest.mark.parametrize("digest", ["", "*", "é", "AAAA", "A" * 43])
def test_a_malformed_content_hash_redacts(digest: str) -> None:
    pdu = {**pdu_of(V12), "hashes": {"sha256": digest}}

    assert receive_pdu(V12, pdu).is_redacted


def test_a_hash_may_be_padded() -> None:
    pdu = pdu_of(V12)
    padded = encode_base64(content_hash(V12, pdu)) + "="

    assert not receive_pdu(V12, {**pdu, "hashes": {"sha256": padded}}).is_redacted


@pytest.mark.parametrize("value", [2**53, 2**64, 2**64 + 1, -(2**70), 1.5, 1e300])
def test_numbers_until_version_5_stay_what_they_are(value: float) -> None:
    pdu = pdu_of(V5, content={"n": value})
    wire = parse_json_exact(json.dumps(pdu).encode())
    assert isinstance(wire, dict)

    received = receive_pdu(V5, wire)

    assert not received.is_redacted
    assert received.event.event_id == event_id_of(V5, pdu)
    assert put_together(V5, received)["content"] == {"n": value}


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**64, 1.5, 1.0])
def test_numbers_from_version_6_are_canonical(value: float) -> None:
    pdu = {**pdu_of(V6), "content": {"n": value}}

    with pytest.raises(BadJson):
        receive_pdu(V6, pdu)


@pytest.mark.parametrize("unsigned", [{"age": 1.5}, {"x": "x" * 70_000}, 7, None])
def test_unsigned_neither_harms_nor_stays(unsigned: object) -> None:
    pdu = {**pdu_of(V12), "unsigned": unsigned}

    received = receive_pdu(V12, pdu)

    assert "unsigned" not in put_together(V12, received)


@pytest.mark.parametrize("key", ["type", "state_key"])
def test_nul_where_a_database_holds_text_is_refused(key: str) -> None:
    with pytest.raises(BadJson):
        receive_pdu(V12, pdu_of(V12, **{key: "a\0b"}))


@pytest.mark.parametrize("key", ["prev_events", "auth_events"])
def test_an_event_that_refers_to_itself_is_refused(key: str) -> None:
    pdu = pdu_of(V1, event_id="$self:example.org")
    own = [["$self:example.org", {}]]

    receive_pdu(V1, pdu)
    with pytest.raises(BadJson):
        receive_pdu(V1, pdu_of(V1, event_id="$self:example.org", **{key: own}))


def test_a_time_that_no_database_holds_is_refused() -> None:
    receive_pdu(V5, pdu_of(V5, origin_server_ts=2**63 - 1))
    with pytest.raises(BadJson):
        receive_pdu(V5, pdu_of(V5, origin_server_ts=2**63))
    with pytest.raises(BadJson):
        receive_pdu(V5, pdu_of(V5, origin_server_ts=-(2**63)))


@each_version
def test_limits_are_checked(version: RoomVersion) -> None:
    [prev] = pdu_of(version, prev_events=[])["auth_events"][:1]
    for too_much in (
        {"prev_events": [prev] * 21},
        {"auth_events": [prev] * 11},
        {"depth": version.depth_max + 1},
        {"depth": -1},
    ):
        with pytest.raises(BadJson):
            receive_pdu(version, pdu_of(version, **too_much))
    with pytest.raises(TooLarge):
        receive_pdu(version, pdu_of(version, content={"body": "x" * 65_536}))


@given(st.sampled_from(VERSIONS), JSON_OBJECTS)
def test_garbage_is_refused(version: RoomVersion, garbage: dict[str, Any]) -> None:
    with pytest.raises(BadJson):
        receive_pdu(version, garbage)


@given(
    st.sampled_from(VERSIONS),
    st.sampled_from(
        sorted({*pdu_of(V1, state_key="", redacts="$x:y", origin="z"), "unsigned"})
    ),
    JSON_VALUES,
)
def test_no_value_of_any_key_breaks_it(
    version: RoomVersion, key: str, value: object
) -> None:
    """Such an event is refused, or what is stored of it is complete."""
    pdu = {**pdu_of(version), key: value}
    try:
        received = receive_pdu(version, pdu)
    except (BadJson, TooLarge):
        return
    stored = put_together(version, received)
    assert event_id_of(version, stored) == received.event.event_id


# Signatures


@each_version
def test_the_needs_name_key_time_and_strictness(version: RoomVersion) -> None:
    [need] = receive_pdu(version, pdu_of(version)).key_needs()

    assert (need.server_name, need.key_id) == (EXAMPLE, KEY.key_id)
    assert need.valid_at_ms == NOW
    assert need.strict == version.enforce_key_validity


def test_an_expired_key_proves_nothing_from_version_5_on() -> None:
    before, after = known(NOW - 1), known(NOW)

    check_signatures(receive_pdu(V4, pdu_of(V4)), before)
    check_signatures(receive_pdu(V5, pdu_of(V5)), after)
    with pytest.raises(BadSignature):
        check_signatures(receive_pdu(V5, pdu_of(V5)), before)


def test_an_unknown_key_proves_nothing() -> None:
    with pytest.raises(BadSignature, match=r"example\.org"):
        check_signatures(receive_pdu(V12, pdu_of(V12)), {})


def test_signatures_by_unknown_or_expired_keys_are_skipped() -> None:
    """SS "Validating hashes and signatures": even where they are wrong."""
    pdu = pdu_of(V12)
    own = {**pdu["signatures"][EXAMPLE], "ed25519:2": "AAAA", "ed25519:policy": "x"}
    received = receive_pdu(V12, {**pdu, "signatures": {EXAMPLE: own, OTHER: {}}})
    expired = VerifyKey(SECOND_KEY.public_key, NOW - 1)

    check_signatures(received, {**known(), (EXAMPLE, "ed25519:2"): expired})
    valid = VerifyKey(SECOND_KEY.public_key, NOW)
    with pytest.raises(BadSignature):
        check_signatures(received, {**known(), (EXAMPLE, "ed25519:2"): valid})


@pytest.mark.parametrize(
    "changes",
    [{"depth": 8}, {"sender": "@bob:example.org"}, {"origin_server_ts": NOW - 1}],
)
def test_a_changed_event_is_refused(changes: dict[str, Any]) -> None:
    received = receive_pdu(V12, {**pdu_of(V12), **changes})

    with pytest.raises(BadSignature):
        check_signatures(received, known())


@pytest.mark.parametrize("signatures", [{}, {"example.org": {}}, {"other.org": {}}])
def test_an_unsigned_event_is_refused(signatures: dict[str, Any]) -> None:
    received = receive_pdu(V12, {**pdu_of(V12), "signatures": signatures})

    with pytest.raises(BadSignature):
        check_signatures(received, known())


def test_the_signature_of_another_server_does_not_do() -> None:
    pdu = {**pdu_of(V12), "signatures": {}}
    received = receive_pdu(V12, sign_event(V12, pdu, OTHER, OTHER_KEY))

    with pytest.raises(BadSignature):
        check_signatures(received, known())


def test_the_server_of_a_chosen_event_id_must_have_signed() -> None:
    pdu = pdu_of(V1, event_id="$e:other.org")

    with pytest.raises(BadSignature, match=r"other\.org"):
        check_signatures(receive_pdu(V1, pdu), known())
    check_signatures(receive_pdu(V1, sign_event(V1, pdu, OTHER, OTHER_KEY)), known())


def test_the_authorising_server_of_a_restricted_join_must_have_signed() -> None:
    content = {
        "membership": "join",
        "join_authorised_via_users_server": "@mod:other.org",
    }
    member = {"type": "m.room.member", "state_key": ALICE, "content": content}
    pdu = pdu_of(V8, **member)

    with pytest.raises(BadSignature, match=r"other\.org"):
        check_signatures(receive_pdu(V8, pdu), known())
    check_signatures(receive_pdu(V8, sign_event(V8, pdu, OTHER, OTHER_KEY)), known())


def test_a_third_party_invite_may_come_from_any_server() -> None:
    content = {"membership": "invite", "third_party_invite": {"signed": {}}}
    member = {"type": "m.room.member", "state_key": "@b:other.org", "content": content}
    pdu = {**pdu_of(V12, **member), "signatures": {}}

    received = receive_pdu(V12, sign_event(V12, pdu, OTHER, OTHER_KEY))

    assert received.key_needs() == []
    check_signatures(received, known())


def test_a_thousand_key_ids_are_refused() -> None:
    pdu = pdu_of(V12)
    own = dict(pdu["signatures"][EXAMPLE])
    own |= {f"ed25519:{n}": "x" for n in range(10, 10 + SIGNATURES_PER_SERVER_MAX)}

    with pytest.raises(BadJson):
        receive_pdu(V12, {**pdu, "signatures": {EXAMPLE: own}})


def test_a_batch_names_its_bad_events() -> None:
    good, bad = pdu_of(V12), {**pdu_of(V12), "depth": 8}
    batch = [receive_pdu(V12, pdu) for pdu in (good, bad, good, bad)]

    assert sorted(bad_signatures(batch, known())) == [1, 3]
