"""CS ``Filter``: the fields of events that ``event_fields`` names."""

from typing import Any

import pytest

from tremula.protocol.event_fields import EventFields, split_path

EVENT: dict[str, Any] = {
    "content": {"body": "b", "m.relates_to": {"rel_type": "r", "event_id": "$e"}},
    "event_id": "$1",
    "origin_server_ts": 1,
    "sender": "@a:b",
    "type": "m.room.message",
    "unsigned": {"age": 5, "membership": "join"},
}
BARE = {
    name: EVENT[name] for name in ("event_id", "origin_server_ts", "sender", "type")
}


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("content.body", ("content", "body")),
        (r"content.m\.relates_to", ("content", "m.relates_to")),
        (r"a\\b", ("a\\b",)),
        (r"a\\.b", ("a\\", "b")),
        (r"\x", ("\\x",)),
        ("", ("",)),
        (".", ("", "")),
        ("a\\", ("a\\",)),
    ],
)
def test_paths_are_split_at_dots_without_a_backslash(
    path: str, names: tuple[str, ...]
) -> None:
    """AP "Dot-separated property paths"."""
    assert split_path(path) == names


@pytest.mark.parametrize(
    ("paths", "selected"),
    [
        ([], {"content": {}}),
        (["content.body"], {"content": {"body": "b"}}),
        (["content.body", "content"], {"content": EVENT["content"]}),
        (["content", "content.body"], {"content": EVENT["content"]}),
        (
            [r"content.m\.relates_to.rel_type", "unsigned.age"],
            {
                "content": {"m.relates_to": {"rel_type": "r"}},
                "unsigned": {"age": 5},
            },
        ),
        (["content.body.deeper", "absent.too"], {"content": {}}),
        (["type.deeper"], {"content": {}}),
    ],
)
def test_only_the_fields_that_were_asked_for_are_left(
    paths: list[str], selected: dict[str, Any]
) -> None:
    """And those without which it would be no event."""
    assert EventFields.of(paths).select(EVENT) == {**BARE, **selected}


def test_a_state_event_stays_one() -> None:
    event = {**EVENT, "state_key": ""}

    assert EventFields.of([]).select(event)["state_key"] == ""
