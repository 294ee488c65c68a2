"""Which events annotate the same thing in the same way."""

from typing import Any

import pytest

from tests.protocol.auth_room import ALICE, BOB
from tremula.protocol.annotations import annotation_digest
from tremula.protocol.identifiers import UserId


def _content(event_id: object = "$e", key: object = "k") -> dict[str, Any]:
    relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
    return {"m.relates_to": relation}


def test_what_else_an_event_says_makes_no_difference() -> None:
    annotation = annotation_digest("m.reaction", ALICE, _content())

    assert annotation is not None
    assert annotation == annotation_digest(
        "m.reaction", ALICE, {**_content(), "other": 1}
    )


@pytest.mark.parametrize(
    ("event_type", "sender", "content"),
    [
        ("m.other", ALICE, _content()),
        ("m.reaction", BOB, _content()),
        ("m.reaction", ALICE, _content(event_id="$f")),
        ("m.reaction", ALICE, _content(key="K")),
        # The same text, cut elsewhere.
        ("m.reaction", ALICE, _content(event_id="$ek", key="")),
        ("m.reaction", ALICE, _content(event_id='$e","', key="")),
    ],
)
def test_another_annotation_is_another(
    event_type: str, sender: UserId, content: dict[str, Any]
) -> None:
    annotation = annotation_digest("m.reaction", ALICE, _content())

    assert annotation_digest(event_type, sender, content) not in {annotation, None}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"m.relates_to": "m.annotation"},
        {"m.relates_to": {"event_id": "$e", "key": "k"}},
        {"m.relates_to": {"rel_type": "m.thread", "event_id": "$e", "key": "k"}},
        _content(event_id=None),
        _content(key=7),
    ],
)
def test_other_events_annotate_nothing(content: dict[str, Any]) -> None:
    assert annotation_digest("m.reaction", ALICE, content) is None
