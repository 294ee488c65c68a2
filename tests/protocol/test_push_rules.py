"""The predefined push rules (CS "Predefined Rules")."""

import pytest

from tremula.protocol.identifiers import UserId
from tremula.protocol.push_rules import PushRule, predefined_rules

ALICE = UserId("@alice:test")
ALOUD = ["notify", {"set_tweak": "sound", "value": "default"}]
HIGHLIGHT = {"set_tweak": "highlight"}


def names(kind: str) -> list[str]:
    """The rules of a kind without the prefix that they all have."""
    rules = predefined_rules(ALICE)[kind]
    assert all(rule["rule_id"].startswith(".m.rule.") for rule in rules)
    return [rule["rule_id"].removeprefix(".m.rule.") for rule in rules]


def rule_named(name: str) -> PushRule:
    """The only rule of that name."""
    [found] = [
        rule
        for rules in predefined_rules(ALICE).values()
        for rule in rules
        if rule["rule_id"] == f".m.rule.{name}"
    ]
    return found


def test_the_rules_stand_in_the_order_of_the_specification() -> None:
    """Of an ordinary message in a room of two, the louder rule has to come first."""
    assert names("override") == [
        *("master", "suppress_notices", "invite_for_me", "member_event"),
        *("is_user_mention", "is_room_mention", "tombstone", "reaction"),
        *("room.server_acl", "suppress_edits"),
    ]
    assert names("underride") == [
        *("call", "encrypted_room_one_to_one", "room_one_to_one"),
        *("message", "encrypted"),
    ]


@pytest.mark.parametrize("kind", ["content", "room", "sender"])
def test_the_other_kinds_are_there_and_empty(kind: str) -> None:
    assert names(kind) == []


def test_all_are_the_servers_own_and_all_but_master_are_enabled() -> None:
    """`.m.rule.master` turns everything off: "By default this rule is disabled"."""
    rules = [rule for of_kind in predefined_rules(ALICE).values() for rule in of_kind]

    assert all(rule["default"] is True for rule in rules)
    assert [rule["rule_id"] for rule in rules if not rule["enabled"]] == [
        ".m.rule.master"
    ]


@pytest.mark.parametrize(
    ("name", "actions"),
    [
        ("suppress_notices", []),
        ("invite_for_me", ALOUD),
        ("member_event", []),
        ("is_user_mention", [*ALOUD, HIGHLIGHT]),
        ("is_room_mention", ["notify", HIGHLIGHT]),
        ("call", ["notify", {"set_tweak": "sound", "value": "ring"}]),
        ("room_one_to_one", ALOUD),
        ("message", ["notify"]),
    ],
)
def test_rules_do_what_the_specification_says(name: str, actions: list[object]) -> None:
    assert rule_named(name)["actions"] == actions


def test_invites_and_mentions_are_of_the_user() -> None:
    invited = rule_named("invite_for_me")["conditions"][-1]
    [mentioned] = rule_named("is_user_mention")["conditions"]

    assert invited == {"kind": "event_match", "key": "state_key", "pattern": ALICE}
    assert mentioned == {
        "kind": "event_property_contains",
        "key": r"content.m\.mentions.user_ids",
        "value": ALICE,
    }
