"""Relations (CS "Forming relationships between events")."""

import pytest

from tremula.protocol.identifiers import EventId
from tremula.protocol.relations import Relation, relation_of


@pytest.mark.parametrize(
    "relation",
    [
        None,
        "m.thread",
        {"rel_type": "m.thread"},
        {"event_id": "$root"},
        {"rel_type": 1, "event_id": "$root"},
        {"rel_type": "m.thread", "event_id": ["$root"]},
        {"rel_type": "", "event_id": "$root"},
        {"rel_type": "m.thread", "event_id": ""},
        {"rel_type": "m.thread", "event_id": "root"},
        {"rel_type": "m.thread", "event_id": "$root\0"},
        {"rel_type": "m\0thread", "event_id": "$root"},
        {"rel_type": "m.thread", "event_id": "$" + "ä" * 128},
        {"rel_type": "x" * 256, "event_id": "$root"},
    ],
)
def test_a_malformed_relation_is_none(relation: object) -> None:
    assert relation_of({"m.relates_to": relation}) is None


def test_an_event_without_a_relation_has_none() -> None:
    assert relation_of({"body": "hello"}) is None


def test_a_relation_names_its_type_and_event() -> None:
    content = {"m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}}

    assert relation_of(content) == Relation("m.thread", EventId("$root"))
