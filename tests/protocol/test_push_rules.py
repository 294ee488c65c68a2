"""The predefined push rules, and what users make of them (CS "Push Rules")."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.errors import InvalidParam, NotFound
from tremula.protocol.identifiers import UserId
from tremula.protocol.push_rule_values import Rule, RuleKind
from tremula.protocol.push_rules import RULES_MAX, OwnRules

ALICE = UserId("@alice:test")
ALOUD = ["notify", {"set_tweak": "sound", "value": "default"}]
HIGHLIGHT = {"set_tweak": "highlight"}
NOBODYS = OwnRules()
CONTENT = RuleKind.CONTENT


def predefined_rules() -> dict[str, list[dict[str, Any]]]:
    """What Alice starts with, but for the rules of polls."""
    return {
        kind: [rule for rule in rules if "msc3930" not in rule["rule_id"]]
        for kind, rules in NOBODYS.to_json(ALICE).items()
    }


def names(kind: str) -> list[str]:
    """The rules of a kind without the prefix that they all have."""
    rules = predefined_rules()[kind]
    assert all(rule["rule_id"].startswith(".m.rule.") for rule in rules)
    return [rule["rule_id"].removeprefix(".m.rule.") for rule in rules]


def rule_named(name: str) -> dict[str, Any]:
    """The only rule of that name."""
    [found] = [
        rule
        for rules in predefined_rules().values()
        for rule in rules
        if rule["rule_id"] == f".m.rule.{name}"
    ]
    return found


def keyword(rule_id: str, *actions: str) -> Rule:
    """A content rule."""
    return Rule(rule_id, actions, pattern=rule_id)


def ids(rules: OwnRules, kind: RuleKind = CONTENT) -> list[str]:
    """The user's own rules of a kind."""
    return [rule.rule_id for rule in rules.of_kind(kind)]


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


def test_all_are_the_servers_own_and_most_are_enabled() -> None:
    """`.m.rule.master` turns everything off: "By default this rule is disabled". Those
    of threads wait until somebody wants them.
    """
    rules = [rule for of_kind in predefined_rules().values() for rule in of_kind]

    assert all(rule["default"] is True for rule in rules)
    assert [rule["rule_id"] for rule in rules if not rule["enabled"]] == [
        ".m.rule.master",
        ".io.element.msc4306.rule.unsubscribed_thread",
        ".io.element.msc4306.rule.subscribed_thread",
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
    assert list(rule_named(name)["actions"]) == actions


def test_invites_and_mentions_are_of_the_user() -> None:
    invited = rule_named("invite_for_me")["conditions"][-1]
    [mentioned] = rule_named("is_user_mention")["conditions"]

    assert invited == {"kind": "event_match", "key": "state_key", "pattern": ALICE}
    assert mentioned == {
        "kind": "event_property_contains",
        "key": r"content.m\.mentions.user_ids",
        "value": ALICE,
    }


def test_polls_notify_as_messages_do() -> None:
    """MSC3930, under the names that clients know."""
    shown = NOBODYS.to_json(ALICE)
    prefix = ".org.matrix.msc3930.rule.poll_"

    assert shown["override"][-1]["rule_id"] == f"{prefix}response"
    assert [rule["rule_id"] for rule in shown["underride"][-4:]] == [
        *(f"{prefix}start_one_to_one", f"{prefix}start"),
        *(f"{prefix}end_one_to_one", f"{prefix}end"),
    ]


def test_a_new_rule_is_the_most_important_one() -> None:
    rules = NOBODYS.with_rule(CONTENT, keyword("a")).with_rule(CONTENT, keyword("b"))

    assert ids(rules) == ["b", "a"]


@pytest.mark.parametrize(
    ("rule_id", "before", "after", "order"),
    [
        ("new", "b", None, ["a", "new", "b", "c"]),
        ("new", None, "b", ["a", "b", "new", "c"]),
        # "the next most important rule with respect to the rule identified by before"
        ("new", "a", "c", ["new", "a", "b", "c"]),
        ("c", "a", None, ["c", "a", "b"]),
        ("a", None, "b", ["b", "a", "c"]),
        # Without either an updated rule stays where it is.
        ("b", None, None, ["a", "b", "c"]),
    ],
)
def test_rules_are_put_before_and_after_others(
    rule_id: str, before: str | None, after: str | None, order: list[str]
) -> None:
    rules = OwnRules(content=tuple(map(keyword, "abc")))

    changed = rules.with_rule(CONTENT, keyword(rule_id), before=before, after=after)

    assert ids(changed) == order


@pytest.mark.parametrize("other", ["missing", ".m.rule.message", "a"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_another_rule_of_the_user_has_to_be_there(other: str, side: str) -> None:
    """Neither one of the server, nor the rule itself."""
    rules = OwnRules(content=(keyword("a"),))

    with pytest.raises(InvalidParam):
        rules.with_rule(CONTENT, keyword("a"), **{side: other})


def test_a_rule_is_enabled_until_it_is_disabled_and_an_update_keeps_that() -> None:
    rules = NOBODYS.with_rule(CONTENT, keyword("a"))
    assert rules.content[0].enabled

    rules = rules.with_enabled(CONTENT, "a", enabled=False)
    rules = rules.with_rule(CONTENT, keyword("a", "notify"))

    assert rules.content == (Rule("a", ("notify",), enabled=False, pattern="a"),)


def test_what_is_as_predefined_again_is_not_kept() -> None:
    kind, rule_id = RuleKind.UNDERRIDE, ".m.rule.message"
    rules = NOBODYS.with_enabled(kind, rule_id, enabled=False)
    rules = rules.with_actions(kind, rule_id, [])
    [shown] = [
        rule for rule in rules.to_json(ALICE)[kind] if rule["rule_id"] == rule_id
    ]
    assert (shown["enabled"], shown["actions"], shown["default"]) == (False, (), True)

    rules = rules.with_enabled(kind, rule_id, enabled=True)
    rules = rules.with_actions(kind, rule_id, ["notify"])

    assert rules == NOBODYS


def test_master_comes_before_the_users_own_rules_and_those_before_the_others() -> None:
    rules = NOBODYS.with_rule(RuleKind.OVERRIDE, Rule("mine", (), conditions=()))

    shown = [rule["rule_id"] for rule in rules.to_json(ALICE)["override"]]

    assert shown[:3] == [".m.rule.master", "mine", ".m.rule.suppress_notices"]


def test_only_own_rules_can_be_removed() -> None:
    rules = OwnRules(content=(keyword("a"), keyword("b")))

    assert ids(rules.without_rule(CONTENT, "a")) == ["b"]
    with pytest.raises(NotFound):
        rules.without_rule(CONTENT, "c")
    with pytest.raises(NotFound):
        rules.without_rule(RuleKind.OVERRIDE, ".m.rule.master")


def test_nobody_has_too_many_rules() -> None:
    rules = OwnRules(content=tuple(keyword(str(n)) for n in range(RULES_MAX)))

    with pytest.raises(InvalidParam):
        rules.with_rule(RuleKind.SENDER, Rule("@bob:test", ()))
    assert len(rules.with_rule(CONTENT, keyword("7")).content) == RULES_MAX


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans())))
def test_rules_are_the_same_after_they_were_stored(
    steps: list[tuple[str, bool]],
) -> None:
    rules = NOBODYS
    for rule_id, enabled in steps:
        rules = rules.with_rule(CONTENT, keyword(rule_id, "notify"))
        rules = rules.with_enabled(CONTENT, rule_id, enabled=enabled)

    assert OwnRules.decoded(rules.encoded()) == rules
