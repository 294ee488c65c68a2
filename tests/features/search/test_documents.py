"""What of an event is indexed, whatever its content is."""

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tremula.features.search.documents import (
    Document,
    Key,
    document_id,
    document_of,
    redacted_ids,
    terms_of,
)
from tremula.protocol.identifiers import EventId, UserId
from tremula.rooms.events import StoredEvent

KEYS = st.sampled_from(
    [
        *("body", "name", "topic", "m.topic", "m.text", "mimetype", "redacts"),
        *("m.new_content", "m.relates_to", "rel_type", "event_id"),
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=8)
    | st.sampled_from(["m.replace", "$event", "text/plain", "$\0"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=6,
)
CONTENTS = st.dictionaries(KEYS, VALUES, max_size=5)


def event(
    event_type: str, content: object, state_key: str | None = None
) -> StoredEvent:
    return StoredEvent(
        event_nid=7,
        event_id=EventId("$event"),
        room_nid=3,
        room_pos=1,
        type=event_type,
        state_key=state_key,
        sender=UserId("@alice:test"),
        origin_server_ts=0,
        client_json=orjson.dumps({"content": content}),
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=CONTENTS,
    event_type=st.sampled_from(["m.room.message", "m.room.name", "m.room.topic"]),
    state_key=st.sampled_from([None, "", "x"]),
)
def test_no_content_is_too_odd(
    content: dict[str, Any], event_type: str, state_key: str | None
) -> None:
    odd = event(event_type, content, state_key)

    document = document_of(odd)

    if document is not None:
        assert all(term and " " not in term for term in terms_of(odd, document))
    assert all(isinstance(each, str) for each in redacted_ids(odd))


@pytest.mark.parametrize(
    ("event_type", "state_key", "content", "expected"),
    [
        ("m.room.message", None, {"body": "b"}, Document(Key.BODY, "b")),
        ("m.room.message", "", {"body": "b"}, None),
        ("m.room.message", None, {}, None),
        ("m.room.name", "", {"name": "n"}, Document(Key.NAME, "n")),
        ("m.room.name", "x", {"name": "n"}, None),
        ("m.room.name", None, {"name": "n"}, None),
        ("m.room.topic", "", {"topic": "t"}, Document(Key.TOPIC, "t")),
        (
            "m.room.topic",
            "",
            {"topic": "t", "m.topic": {"m.text": [{"body": "rich"}]}},
            Document(Key.TOPIC, "t\nrich"),
        ),
        (
            "m.room.message",
            None,
            {
                "body": "* new",
                "m.new_content": {"body": "new"},
                "m.relates_to": {"rel_type": "m.replace", "event_id": "$old"},
            },
            Document(Key.BODY, "new", EventId("$old")),
        ),
        (
            "m.room.message",
            None,
            {
                "body": "* new",
                "m.relates_to": {"rel_type": "m.replace", "event_id": "$old"},
            },
            None,
        ),
        ("m.room.encrypted", None, {"body": "b"}, None),
    ],
)
def test_a_document_is_what_can_be_read(
    event_type: str,
    state_key: str | None,
    content: dict[str, Any],
    expected: Document | None,
) -> None:
    assert document_of(event(event_type, content, state_key)) == expected


def test_the_past_is_before_what_came_by_itself() -> None:
    live = event("m.room.message", {"body": "x"})
    past = event("m.room.message", {"body": "x"})
    past.room_pos, past.event_nid = -4, 9

    assert document_id(past) < 0 < document_id(live)
