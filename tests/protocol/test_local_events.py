"""Events of rooms that don't federate."""

from typing import Any

import orjson
import pytest

from tremula.protocol.errors import BadJson, InvalidParam, TooLarge
from tremula.protocol.events import EventDraft
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.local_events import build_local_event, parse_chosen_event_id
from tremula.protocol.room_versions import get_room_version

CHOSEN = EventId("$chosen:irc.org")
TARGET = EventId("$target:irc.org")


def _draft(**changes: Any) -> EventDraft:  # noqa: ANN401 - any field
    fields: dict[str, Any] = {
        "room_id": RoomId("!room:test"),
        "type": "m.room.message",
        "sender": UserId("@ann:test"),
        "state_key": None,
        "content": {"body": "x"},
        "origin_server_ts": 1234,
        **changes,
    }
    return EventDraft(**fields)


def _client_json(version_id: str, draft: EventDraft) -> dict[str, Any]:
    version = get_room_version(version_id)
    built = build_local_event(version, draft, event_id=CHOSEN, depth=7)
    assert built.server_json == b"{}"
    assert built.event.depth == 7
    client_json: dict[str, Any] = orjson.loads(built.client_json)
    return client_json


def test_an_event_says_what_clients_are_shown_and_nothing_else() -> None:
    assert _client_json("11", _draft(state_key="")) == {
        "content": {"body": "x"},
        "event_id": CHOSEN,
        "origin_server_ts": 1234,
        "room_id": "!room:test",
        "sender": "@ann:test",
        "state_key": "",
        "type": "m.room.message",
    }
    assert "state_key" not in _client_json("11", _draft())


@pytest.mark.parametrize(("version_id", "is_in_content"), [("10", False), ("11", True)])
def test_a_redaction_names_its_target_where_the_version_has_it(
    version_id: str, is_in_content: bool
) -> None:
    draft = _draft(type="m.room.redaction", content={}, redacts=TARGET)
    version = get_room_version(version_id)

    built = build_local_event(version, draft, event_id=CHOSEN, depth=7)
    said = _client_json(version_id, draft)

    holder = said["content"] if is_in_content else said
    assert holder["redacts"] == TARGET
    assert built.event.redacts == TARGET


def test_what_can_be_no_event_is_refused() -> None:
    with pytest.raises(BadJson):
        _client_json("11", _draft(content={"body": 1.5}))
    with pytest.raises(TooLarge):
        _client_json("11", _draft(content={"body": "x" * 65_536}))
    with pytest.raises(TooLarge):
        _client_json("11", _draft(type="x" * 256))


def test_a_chosen_id_has_an_opaque_part_and_a_domain() -> None:
    for event_id in (CHOSEN, "$a:b", "$a:b/c", "$ä:b:c", "$" + "a" * 252 + ":b"):
        assert parse_chosen_event_id(event_id) == event_id


@pytest.mark.parametrize(
    "raw",
    [
        None,
        7,
        "",
        "$",
        "$a",
        "$:b",
        "$a:",
        "a:b",
        "$a b:c",
        "$a:b c",
        "$a\0:b",
        "$a\ud800:b",
        "$" + "a" * 43,
        "$" + "a" * 253 + ":b",
        "$" + "ä" * 126 + ":bc",
    ],
)
def test_anything_else_can_not_be_chosen(raw: object) -> None:
    with pytest.raises(InvalidParam):
        parse_chosen_event_id(raw)
