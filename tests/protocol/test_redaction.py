"""What redaction keeps, by room version (RV1 to RV12 "Redactions")."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import JSON_OBJECTS
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.redaction import redact, redact_client_event
from tremula.protocol.room_versions import ROOM_VERSIONS, RoomVersion

ALWAYS = {
    "event_id",
    "type",
    "room_id",
    "sender",
    "state_key",
    "content",
    "hashes",
    "signatures",
    "depth",
    "prev_events",
    "auth_events",
    "origin_server_ts",
}
UNTIL_10 = {"prev_state", "origin", "membership"}
NEVER = {"unsigned", "redacts", "age", "com.example"}

# (event type, content key, first version and last version that keep it)
CONTENT_KEYS = [
    ("m.room.member", "membership", 1, 12),
    ("m.room.member", "join_authorised_via_users_server", 9, 12),
    ("m.room.member", "displayname", 0, 0),
    ("m.room.create", "creator", 1, 12),
    ("m.room.create", "room_version", 11, 12),
    ("m.room.create", "m.federate", 11, 12),
    ("m.room.create", "additional_creators", 11, 12),
    ("m.room.create", "com.example", 11, 12),
    ("m.room.join_rules", "join_rule", 1, 12),
    ("m.room.join_rules", "allow", 8, 12),
    ("m.room.power_levels", "ban", 1, 12),
    ("m.room.power_levels", "events", 1, 12),
    ("m.room.power_levels", "events_default", 1, 12),
    ("m.room.power_levels", "invite", 11, 12),
    ("m.room.power_levels", "kick", 1, 12),
    ("m.room.power_levels", "redact", 1, 12),
    ("m.room.power_levels", "state_default", 1, 12),
    ("m.room.power_levels", "users", 1, 12),
    ("m.room.power_levels", "users_default", 1, 12),
    ("m.room.power_levels", "notifications", 0, 0),
    ("m.room.aliases", "aliases", 1, 5),
    ("m.room.history_visibility", "history_visibility", 1, 12),
    ("m.room.redaction", "redacts", 11, 12),
    ("m.room.redaction", "reason", 0, 0),
    ("m.room.message", "body", 0, 0),
    ("m.room.name", "name", 0, 0),
]


@pytest.mark.parametrize("number", range(1, 13))
@pytest.mark.parametrize(("event_type", "key", "first", "last"), CONTENT_KEYS)
def test_content_keys(
    number: int, event_type: str, key: str, first: int, last: int
) -> None:
    pdu = {"type": event_type, "content": {key: 1, "other": 2}}

    content = redact(ROOM_VERSIONS[str(number)], pdu)["content"]

    assert (key in content) is (first <= number <= last)
    assert ("other" in content) is (event_type == "m.room.create" and number >= 11)


@pytest.mark.parametrize("number", range(1, 13))
def test_top_level_keys(number: int) -> None:
    pdu: dict[str, Any] = dict.fromkeys(ALWAYS | UNTIL_10 | NEVER, "x")

    kept = ALWAYS | UNTIL_10 if number <= 10 else ALWAYS

    assert set(redact(ROOM_VERSIONS[str(number)], pdu)) == kept


@pytest.mark.parametrize(
    ("number", "third_party_invite", "kept"),
    [
        (10, {"signed": {"mxid": "@a:b"}, "display_name": "A"}, None),
        (
            11,
            {"signed": {"mxid": "@a:b"}, "display_name": "A"},
            {"signed": {"mxid": "@a:b"}},
        ),
        (12, {"signed": {"mxid": "@a:b"}}, {"signed": {"mxid": "@a:b"}}),
        (12, {"display_name": "A"}, {}),
        (12, "not an object", None),
    ],
)
def test_a_third_party_invite_keeps_only_what_was_signed(
    number: int, third_party_invite: object, kept: object
) -> None:
    content = {"membership": "invite", "third_party_invite": third_party_invite}
    pdu = {"type": "m.room.member", "content": content}

    redacted = redact(ROOM_VERSIONS[str(number)], pdu)["content"]

    assert redacted.get("third_party_invite") == kept
    assert redacted["membership"] == "invite"


@pytest.mark.parametrize(
    ("pdu", "redacted"),
    [
        ({}, {}),
        ({"content": 1}, {"content": 1}),
        ({"content": []}, {"content": []}),
        ({"content": {"a": 1}}, {"content": {}}),
        ({"type": 1, "content": {"a": 1}}, {"type": 1, "content": {}}),
    ],
)
def test_a_malformed_event_is_redacted_without_an_error(
    pdu: dict[str, Any], redacted: dict[str, Any]
) -> None:
    for version in ROOM_VERSIONS.values():
        assert redact(version, pdu) == redacted


def test_the_original_stays_as_it_was() -> None:
    pdu = {
        "type": "m.room.member",
        "content": {
            "membership": "join",
            "displayname": "A",
            "third_party_invite": {"signed": {}, "display_name": "A"},
        },
        "unsigned": {},
    }
    before = orjson.dumps(pdu)

    redact(ROOM_VERSIONS["12"], pdu)

    assert orjson.dumps(pdu) == before


def test_an_event_in_client_format_is_redacted_as_bytes() -> None:
    client_json = (
        b'{"content":{"body":"hi"},"event_id":"$e","origin_server_ts":1,'
        b'"redacts":"$x","room_id":"!r","sender":"@a:b","type":"m.room.message"}'
    )

    assert redact_client_event(ROOM_VERSIONS["12"], client_json) == (
        b'{"content":{},"event_id":"$e","origin_server_ts":1,'
        b'"room_id":"!r","sender":"@a:b","type":"m.room.message"}'
    )


@given(
    st.sampled_from(list(ROOM_VERSIONS.values())),
    st.sampled_from(sorted({row[0] for row in CONTENT_KEYS})),
    st.dictionaries(
        st.sampled_from(
            sorted({row[1] for row in CONTENT_KEYS} | {"third_party_invite"})
        ),
        JSON_OBJECTS,
    ),
)
def test_redacting_twice_changes_nothing(
    version: RoomVersion, event_type: str, content: dict[str, Any]
) -> None:
    pdu = {"type": event_type, "content": content, "unsigned": {}, "depth": 3}

    redacted = redact(version, pdu)

    assert redact(version, redacted) == redacted
    assert len(encode_canonical(redacted)) <= len(encode_canonical(pdu))
