"""Building events and checking those of others, in every room version."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.event_signatures import verify_event_signatures
from tests.protocol.strategies import JSON_OBJECTS
from tremula.protocol.base64 import encode_base64, encode_base64_urlsafe
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.errors import BadJson, TooLarge
from tremula.protocol.events import (
    BuiltEvent,
    Event,
    EventDraft,
    build_event,
    content_hash,
    event_id_of,
    parse_pdu,
    pdu_json,
    redact,
    redact_client_event,
    reference_hash,
)
from tremula.protocol.identifiers import EventId, RoomId, ServerName, UserId
from tremula.protocol.room_versions import ROOM_VERSIONS, RoomVersion
from tremula.protocol.signing import LateKey, SigningKey, countersign_event, sign_event

KEY = SigningKey.from_seed("ed25519:1", b"\x01" * 32)
KEYS = {ServerName("example.org"): {KEY.key_id: KEY.public_key}}
HASH = "Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"
ROOM = RoomId("!room:example.org")
ALICE = UserId("@alice:example.org")
VERSIONS = list(ROOM_VERSIONS.values())
FROM_3 = VERSIONS[2:]
V1, V5, V10, V11, V12 = (
    ROOM_VERSIONS[number] for number in ("1", "5", "10", "11", "12")
)

each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda v: f"v{v.id}")


def ids(version: RoomVersion, *names: str) -> list[EventId]:
    """Event IDs of the form that the version has."""
    if version in VERSIONS[:2]:
        return [EventId(f"${name}:example.org") for name in names]
    return [EventId("$" + name * 43) for name in names]


def draft(
    event_type: str = "m.room.message",
    content: dict[str, Any] | None = None,
    *,
    state_key: str | None = None,
    room_id: RoomId | None = ROOM,
    redacts: EventId | None = None,
) -> EventDraft:
    return EventDraft(
        room_id=room_id,
        type=event_type,
        sender=ALICE,
        state_key=state_key,
        content={"body": "hi"} if content is None else content,
        origin_server_ts=1_700_000_000_000,
        redacts=redacts,
    )


def build(
    version: RoomVersion,
    event_draft: EventDraft,
    depth: int = 7,
    key: SigningKey | LateKey = KEY,
) -> BuiltEvent:
    return build_event(
        version,
        event_draft,
        prev_events=ids(version, "p"),
        auth_events=ids(version, "a", "b"),
        depth=depth,
        signing_key=key,
    )


def pdu_of(version: RoomVersion, built: BuiltEvent) -> dict[str, Any]:
    return pdu_json(version, built.client_json, built.server_json)


def without(pdu: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in pdu.items() if name != key}


@each_version
def test_a_built_event_parses_to_the_same_value(version: RoomVersion) -> None:
    built = build(version, draft())

    assert parse_pdu(version, pdu_of(version, built)) == built.event


@each_version
def test_a_built_event_is_validly_hashed_and_signed(version: RoomVersion) -> None:
    built = build(version, draft("m.room.member", {"membership": "join"}, state_key=""))
    pdu = pdu_of(version, built)

    verify_event_signatures(version, pdu, KEYS)
    assert pdu["hashes"]["sha256"] == encode_base64(content_hash(version, pdu))
    assert event_id_of(version, pdu) == built.event.event_id
    assert sign_event(version, without(pdu, "signatures"), "example.org", KEY) == pdu


@each_version
def test_the_two_halves_are_canonical_and_share_no_key(version: RoomVersion) -> None:
    built = build(version, draft(state_key="ü\n"))
    client, server = orjson.loads(built.client_json), orjson.loads(built.server_json)

    assert encode_canonical(client) == built.client_json
    assert encode_canonical(server) == built.server_json
    assert set(client) == {
        "content",
        "event_id",
        "origin_server_ts",
        "room_id",
        "sender",
        "state_key",
        "type",
    }
    assert set(server) == {
        "auth_events",
        "depth",
        "hashes",
        "prev_events",
        "signatures",
    }


def test_a_message_has_no_state_key() -> None:
    built = build(V12, draft())

    assert b"state_key" not in built.client_json
    assert not built.event.is_state
    with pytest.raises(AssertionError):
        _ = built.event.key


def test_a_state_event_has_a_key() -> None:
    event = build(V12, draft("m.room.name", state_key="")).event

    assert event.is_state
    assert event.key == ("m.room.name", "")


@pytest.mark.parametrize("version", VERSIONS[:2])
def test_event_ids_with_a_domain(version: RoomVersion) -> None:
    first = build(version, draft()).event.event_id
    second = build(version, draft(content={"body": "ho"})).event.event_id

    assert first.startswith("$")
    assert first.endswith(":example.org")
    assert first != second


@pytest.mark.parametrize("version", FROM_3)
def test_event_ids_are_the_reference_hash(version: RoomVersion) -> None:
    built = build(version, draft())
    digest = reference_hash(version, pdu_of(version, built))
    encode = encode_base64 if version.id == "3" else encode_base64_urlsafe

    assert built.event.event_id == "$" + encode(digest)
    assert "event_id" not in pdu_of(version, built)


@each_version
def test_an_event_that_is_signed_later_is_the_same(version: RoomVersion) -> None:
    built = build(version, draft())
    late = build(version, draft(), key=LateKey(KEY.key_id))
    unsigned = pdu_of(version, late)

    assert late.event == built.event
    assert late.client_json == built.client_json
    assert unsigned == without(pdu_of(version, built), "signatures")
    signed = countersign_event(version, unsigned, "example.org", KEY)
    assert signed == pdu_of(version, built)


@pytest.mark.parametrize("version", VERSIONS[:2])
def test_links_of_old_rooms_carry_reference_hashes_where_known(
    version: RoomVersion,
) -> None:
    [known, unknown] = ids(version, "k", "u")
    built = build_event(
        version,
        draft(),
        prev_events=[known],
        auth_events=[unknown],
        depth=1,
        signing_key=KEY,
        reference_hashes={known: "abc"},
    )
    pdu = pdu_of(version, built)

    assert pdu["prev_events"] == [[known, {"sha256": "abc"}]]
    assert pdu["auth_events"] == [[unknown, {}]]
    assert parse_pdu(version, pdu) == built.event


@pytest.mark.parametrize("version", VERSIONS[:10])
def test_redacts_is_a_top_level_key_until_version_10(version: RoomVersion) -> None:
    [target] = ids(version, "t")
    built = build(version, draft("m.room.redaction", {"reason": "x"}, redacts=target))

    assert orjson.loads(built.client_json)["redacts"] == target
    assert built.event.content == {"reason": "x"}
    assert parse_pdu(version, pdu_of(version, built)) == built.event
    assert "redacts" not in redact(version, pdu_of(version, built))
    verify_event_signatures(version, pdu_of(version, built), KEYS)


@pytest.mark.parametrize("version", VERSIONS[10:])
def test_redacts_is_content_from_version_11_on(version: RoomVersion) -> None:
    [target] = ids(version, "t")
    built = build(version, draft("m.room.redaction", {"reason": "x"}, redacts=target))

    assert "redacts" not in orjson.loads(built.client_json)
    assert built.event.content == {"reason": "x", "redacts": target}
    assert built.event.redacts == target
    assert parse_pdu(version, pdu_of(version, built)) == built.event
    assert redact(version, pdu_of(version, built))["content"] == {"redacts": target}
    assert build(version, draft("m.room.redaction", built.event.content)) == built


@pytest.mark.parametrize(
    ("version", "redaction"),
    [
        (V10, {"redacts": 7}),
        (V11, {"content": {"redacts": 7}}),
        (V11, {"redacts": "$" + HASH}),
        (V11, {"type": "m.room.message", "content": {"redacts": "$" + HASH}}),
        (V10, {"type": "m.room.message", "redacts": "$" + HASH}),
    ],
)
def test_a_misplaced_redacts_redacts_nothing(
    version: RoomVersion, redaction: dict[str, Any]
) -> None:
    pdu = pdu_of(version, build(version, draft("m.room.redaction")))

    assert parse_pdu(version, {**pdu, **redaction}).redacts is None


def test_a_create_event_of_version_12_makes_the_room_id() -> None:
    built = build_event(
        V12,
        draft("m.room.create", {"room_version": "12"}, state_key="", room_id=None),
        prev_events=[],
        auth_events=[],
        depth=1,
        signing_key=KEY,
    )
    pdu = pdu_of(V12, built)

    assert built.event.room_id == "!" + built.event.event_id[1:]
    assert orjson.loads(built.client_json)["room_id"] == built.event.room_id
    assert "room_id" not in pdu
    assert parse_pdu(V12, pdu) == built.event
    verify_event_signatures(V12, pdu, KEYS)
    with pytest.raises(BadJson, match="room_id"):
        parse_pdu(V12, {**pdu, "room_id": built.event.room_id})


def test_the_depth_stops_at_its_limit() -> None:
    assert build(V12, draft(), depth=2**53).event.depth == 2**53 - 1
    assert build(V1, draft(), depth=2**63).event.depth == 2**63 - 1


@pytest.mark.parametrize(
    "content",
    [{"a": 1.5}, {"a": 2**53}, {"a": "\ud800"}, {"a": {"b": [float("nan")]}}],
)
def test_content_that_is_not_canonical_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(BadJson):
        build(V12, draft(content=content))


def test_old_rooms_take_content_that_is_not_canonical() -> None:
    built = build(V5, draft(content={"a": 1.5, "b": 2**60}))
    pdu = pdu_of(V5, built)

    assert pdu["content"] == {"a": 1.5, "b": 2**60}
    assert parse_pdu(V5, pdu) == built.event
    verify_event_signatures(V5, pdu, KEYS)


@pytest.mark.parametrize("event_draft", [draft("m.\ud800"), draft(state_key="\udfff")])
def test_a_lone_surrogate_is_refused_anywhere(event_draft: EventDraft) -> None:
    with pytest.raises(BadJson):
        build(V12, event_draft)


@each_version
def test_the_whole_event_has_at_most_65536_bytes(version: RoomVersion) -> None:
    empty = build(version, draft(content={"body": ""}))
    room = 65_536 - len(encode_canonical(pdu_of(version, empty)))
    largest = build(version, draft(content={"body": "x" * room}))
    pdu = pdu_of(version, largest)

    assert len(encode_canonical(pdu)) == 65_536
    assert parse_pdu(version, pdu) == largest.event
    for key in (KEY, LateKey(KEY.key_id)):
        with pytest.raises(TooLarge):
            build(version, draft(content={"body": "x" * (room + 1)}), key=key)
    with pytest.raises(TooLarge):
        parse_pdu(version, {**pdu, "content": {"body": "x" * (room + 1)}})


@pytest.mark.parametrize("char", ["a", "é", "本", "🐈", "\x01"])
@pytest.mark.parametrize("key", ["type", "state_key"])
def test_type_and_state_key_have_at_most_255_bytes(key: str, char: str) -> None:
    count, rest = divmod(255, len(char.encode()))
    longest = char * count + "a" * rest
    pdu = pdu_of(V12, build(V12, draft(state_key="")))

    assert parse_pdu(V12, {**pdu, key: longest})
    with pytest.raises(TooLarge):
        parse_pdu(V12, {**pdu, key: longest + "a"})


def test_our_own_events_obey_the_same_limits() -> None:
    assert build(V12, draft("x" * 255, state_key="é" * 127)).event.is_state
    with pytest.raises(TooLarge):
        build(V12, draft("x" * 256))
    with pytest.raises(TooLarge):
        build(V12, draft(state_key="é" * 128))


BROKEN: list[tuple[str, object]] = [
    ("type", None),
    ("type", 7),
    ("sender", None),
    ("sender", "alice"),
    ("sender", "@a:b c"),
    ("room_id", None),
    ("room_id", "room"),
    ("room_id", "@a:example.org"),
    ("state_key", None),
    ("state_key", 1),
    ("content", None),
    ("content", []),
    ("content", "x"),
    ("origin_server_ts", None),
    ("origin_server_ts", "1"),
    ("origin_server_ts", True),
    ("depth", None),
    ("depth", -1),
    ("depth", True),
    ("depth", "1"),
    ("hashes", None),
    ("hashes", {}),
    ("hashes", {"sha256": 1}),
    ("signatures", None),
    ("signatures", {"a": "b"}),
    ("signatures", {"a": {"b": 1}}),
    ("prev_events", None),
    ("prev_events", {}),
    ("prev_events", "x"),
    ("prev_events", [1]),
    ("prev_events", ["x"]),
    ("prev_events", [["$a:b"]]),
    ("auth_events", None),
    ("auth_events", [None]),
    ("auth_events", [["$a:b", "x"]]),
    ("unsigned", None),
    ("unsigned", []),
]


@each_version
@pytest.mark.parametrize(("key", "value"), BROKEN)
def test_a_malformed_event_is_refused(
    version: RoomVersion, key: str, value: object
) -> None:
    pdu = pdu_of(version, build(version, draft()))

    with pytest.raises(BadJson):
        parse_pdu(version, {**pdu, key: value})


@each_version
@pytest.mark.parametrize(
    "key",
    [
        "type",
        "sender",
        "room_id",
        "content",
        "origin_server_ts",
        "depth",
        "hashes",
        "signatures",
        "prev_events",
        "auth_events",
    ],
)
def test_a_missing_key_is_refused(version: RoomVersion, key: str) -> None:
    pdu = pdu_of(version, build(version, draft()))

    with pytest.raises(BadJson):
        parse_pdu(version, without(pdu, key))


@pytest.mark.parametrize("event_id", [None, 7, "x", "$" + "a" * 300 + ":b"])
def test_a_malformed_event_id_of_an_old_room_is_refused(event_id: object) -> None:
    pdu = pdu_of(V1, build(V1, draft()))

    with pytest.raises(BadJson):
        parse_pdu(V1, {**pdu, "event_id": event_id})


@each_version
def test_the_numbers_of_links_are_limited(version: RoomVersion) -> None:
    pdu = pdu_of(version, build(version, draft()))
    [prev], [auth, _] = pdu["prev_events"], pdu["auth_events"]

    assert parse_pdu(version, {**pdu, "prev_events": [prev] * 20})
    assert parse_pdu(version, {**pdu, "auth_events": [auth] * 10})
    with pytest.raises(BadJson):
        parse_pdu(version, {**pdu, "prev_events": [prev] * 21})
    with pytest.raises(BadJson):
        parse_pdu(version, {**pdu, "auth_events": [auth] * 11})
    unbounded = {**pdu, "prev_events": [prev] * 21, "auth_events": [auth] * 11}
    assert parse_pdu(version, unbounded, bounds_links=False)


@pytest.mark.parametrize(
    ("version", "depth"), [(V5, 2**63), (V12, 2**53), (V12, 1.0), (V5, 1.5)]
)
def test_a_depth_out_of_range_is_refused(version: RoomVersion, depth: object) -> None:
    pdu = pdu_of(version, build(version, draft()))

    with pytest.raises(BadJson):
        parse_pdu(version, {**pdu, "depth": depth})


def test_a_historical_sender_is_accepted() -> None:
    pdu = pdu_of(V12, build(V12, draft()))

    assert parse_pdu(V12, {**pdu, "sender": "@Älice x:example.org"})


@given(
    st.sampled_from(VERSIONS),
    st.sampled_from(["m.room.message", "m.room.member", "m.room.power_levels", "x"]),
    JSON_OBJECTS,
    st.none() | st.text(max_size=20),
)
def test_any_content_makes_the_same_event_on_both_ways(
    version: RoomVersion,
    event_type: str,
    content: dict[str, Any],
    state_key: str | None,
) -> None:
    """The pieces put together by hand are what the general functions say."""
    built = build(version, draft(event_type, content, state_key=state_key))
    pdu = pdu_of(version, built)
    parsed: Event = parse_pdu(version, pdu)

    assert parsed == built.event
    assert sign_event(version, without(pdu, "signatures"), "example.org", KEY) == pdu
    redacted = redact_client_event(version, built.client_json)
    assert redact_client_event(version, redacted) == redacted
    assert event_id_of(version, redact(version, pdu)) == built.event.event_id
