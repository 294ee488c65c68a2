"""Push conditions and which rule is met (CS "Conditions", "Push Rules")."""

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.power_levels import PowerLevels
from tremula.protocol.push_conditions import (
    ANYBODY,
    EVALUATION_COST_MAX,
    PushEvent,
    Reader,
    compile_condition,
)
from tremula.protocol.push_evaluation import (
    NOTHING,
    PREDEFINED_KEY,
    Outcome,
    Ruleset,
    key_of,
    rooms_named,
    rules_in,
)
from tremula.protocol.push_rule_values import Action, Rule, RuleChange, RuleKind
from tremula.protocol.push_rules import OwnRules, moved_to_room

ALICE, BOB = UserId("@alice:test"), UserId("@bob:test")
ROOM, OTHER_ROOM = RoomId("!Room:test"), RoomId("!Other:test")
LEVELS = PowerLevels({ALICE: 50}, {}, {"room": 50, "low": 0})
HIGHLIGHT: Action = {"set_tweak": "highlight"}
PREDEFINED = Ruleset(PREDEFINED_KEY, OwnRules())
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text())


def event(
    event_type: str = "m.room.message",
    content: dict[str, Any] | None = None,
    *,
    sender: UserId = ALICE,
    state_key: str | None = None,
    member_count: int = 3,
) -> PushEvent:
    """An event as conditions look at it."""
    return PushEvent(
        Event(
            event_id=EventId("$event"),
            room_id=ROOM,
            type=event_type,
            sender=sender,
            state_key=state_key,
            content=content or {},
            origin_server_ts=1,
            depth=1,
            prev_events=(),
            auth_events=(),
            redacts=None,
        ),
        member_count=member_count,
        power_levels=LEVELS,
    )


def holds(
    condition: dict[str, Any], looked_at: PushEvent, reader: Reader = ANYBODY
) -> bool:
    compiled = compile_condition(condition)
    return compiled is not None and compiled(looked_at, reader)


def matches(key: str, pattern: str) -> dict[str, Any]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def muting(room_id: str) -> Rule:
    return Rule(room_id, (), conditions=(matches("room_id", room_id),))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (matches("type", "M.ROOM.message"), True),
        (matches("type", "m.room.*"), True),
        (matches("type", "m.room"), False),
        (matches("room_id", "!room:test"), True),
        (matches("content.body", "tea"), True),
        (matches("content.body", "te"), False),
        (matches("content.topic", "tea"), False),
        (matches("content.topic", "time for tea"), True),
        # "will not match, even if pattern is `*`"
        (matches("content.missing", "*"), False),
        (matches("content.number", "*"), False),
        (matches("content.body.deeper", "*"), False),
        # "there is no implicit condition for `state_key`"
        (matches("state_key", ""), False),
    ],
)
def test_event_match(condition: dict[str, Any], expected: bool) -> None:
    content = {"body": "Time for tea!", "topic": "Time for tea", "number": 7}

    assert holds(condition, event(content=content)) is expected


def test_an_empty_state_key_is_matched_by_the_empty_pattern() -> None:
    assert holds(matches("state_key", ""), event(state_key=""))
    assert not holds(matches("state_key", ""), event(state_key="x"))


@given(SCALARS, SCALARS)
def test_event_property_is_compares_without_casting(
    wanted: object, found: object
) -> None:
    condition = {"kind": "event_property_is", "key": r"content.m\.x", "value": wanted}
    is_same = type(wanted) is type(found) and wanted == found

    assert holds(condition, event(content={"m.x": found})) is is_same


@given(SCALARS, st.lists(st.one_of(SCALARS, st.lists(SCALARS))))
def test_event_property_contains_finds_the_same_value(
    wanted: object, found: list[object]
) -> None:
    condition = {"kind": "event_property_contains", "key": "content.x", "value": wanted}
    is_there = any(type(each) is type(wanted) and each == wanted for each in found)

    assert holds(condition, event(content={"x": found})) is is_there
    assert not holds(condition, event(content={"x": wanted}))
    assert not holds(condition, event())


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("2", {2}),
        ("==2", {2}),
        ("<2", {1}),
        (">2", {3}),
        ("<=2", {1, 2}),
        (">=2", {2, 3}),
    ],
)
def test_room_member_count(text: str, counts: set[int]) -> None:
    condition = {"kind": "room_member_count", "is": text}

    found = {n for n in (1, 2, 3) if holds(condition, event(member_count=n))}

    assert found == counts


@pytest.mark.parametrize(
    ("sender", "key", "expected"),
    [
        (ALICE, "room", True),
        (BOB, "room", False),
        (BOB, "low", True),
        # "defaults to 50"
        (ALICE, "other", True),
        (BOB, "other", False),
    ],
)
def test_sender_notification_permission(
    sender: UserId, key: str, expected: bool
) -> None:
    condition = {"kind": "sender_notification_permission", "key": key}

    assert holds(condition, event(sender=sender)) is expected


@pytest.mark.parametrize(
    ("name", "expected"), [("Bob", True), ("Bo", False), ("", False), (None, False)]
)
def test_contains_display_name(name: str | None, expected: bool) -> None:
    condition = {"kind": "contains_display_name"}
    content = {"body": "hello bob"}

    assert (
        holds(condition, event(content=content), Reader(display_name=name)) is expected
    )


@pytest.mark.parametrize(
    "condition",
    [
        {"kind": "org.example.moon"},
        {},
        {"kind": "event_match", "key": "type"},
        {"kind": "event_match", "pattern": "*"},
        {"kind": "event_match", "key": 7, "pattern": "*"},
        {"kind": "event_property_is", "key": "type"},
        {"kind": "event_property_is", "value": None},
        {"kind": "event_property_contains", "key": "type", "value": {}},
        {"kind": "room_member_count", "is": "two"},
        {"kind": "room_member_count", "is": 2},
        {"kind": "sender_notification_permission"},
    ],
)
def test_what_is_unknown_or_malformed_never_holds(condition: dict[str, Any]) -> None:
    rules = OwnRules(override=(Rule("r", ("notify",), conditions=(condition,)),))

    assert compile_condition(condition) is None
    outcome = Ruleset("key", rules).evaluate(event("org.example.none"), ANYBODY)
    assert outcome == NOTHING


@pytest.mark.parametrize(
    ("condition", "content", "expected"),
    [
        ({"kind": "event_property_is", "key": "type", "value": "m.Tea"}, {}, True),
        ({"kind": "event_property_is", "key": "type", "value": "m.tea"}, {}, False),
        (matches("type", "M.TEA"), {}, True),
        (matches("content.body", "tea"), {"body": "tea"}, True),
        (matches("content.body", "tea"), {"bod": "tea"}, False),
        (matches(r"content.a\.b.c", "tea"), {"a.b": {"c": "Tea"}}, True),
        (
            {"kind": "event_property_is", "key": "content.a", "value": None},
            {"a": None},
            True,
        ),
        ({"kind": "event_property_is", "key": "content.a", "value": None}, {}, False),
        (
            {"kind": "event_property_contains", "key": "content.a", "value": "x"},
            {"a": ["x"]},
            True,
        ),
        (matches("content", "*"), {"body": "tea"}, False),
    ],
)
def test_a_rule_is_found_by_the_type_and_the_content_that_it_asks_for(
    condition: dict[str, Any], content: dict[str, Any], expected: bool
) -> None:
    rules = OwnRules(override=(Rule("r", ("notify",), conditions=(condition,)),))

    outcome = Ruleset("key", rules).evaluate(event("m.Tea", content), ANYBODY)

    assert outcome.notifies is expected


def test_rules_that_an_event_cannot_meet_are_not_asked_of_it() -> None:
    """By far the most messages mention nobody, edit nothing and are no polls."""
    looked_at = event(content={"msgtype": "m.text", "body": "tea"})
    look_up = PushEvent.property
    with patch.object(PushEvent, "property", autospec=True) as looked_up:
        looked_up.side_effect = look_up
        Ruleset("key", OwnRules()).evaluate(looked_at, ANYBODY)

    assert [call.args[1] for call in looked_up.call_args_list] == [
        ("content", "msgtype")
    ]


def test_what_would_take_too_long_does_not_match() -> None:
    """Globs of one ruleset look at so much together, and compare beyond that."""
    body = "a " * (EVALUATION_COST_MAX // 10)
    slow = tuple(Rule(str(n), ("notify",), pattern="a?b") for n in range(9))
    quick = Rule("word", ("notify", HIGHLIGHT), pattern="a")
    rules = Ruleset("key", OwnRules(content=(*slow, quick)))
    looked_at = event(content={"body": body})

    assert rules.evaluate(looked_at, ANYBODY).highlights
    assert not compile_condition(matches("content.body", "a*a"))(looked_at, ANYBODY)  # type: ignore[misc]  # not None
    assert Ruleset("other", OwnRules(content=(quick,))).evaluate(looked_at, ANYBODY)


@pytest.mark.parametrize(
    ("looked_at", "reader", "expected"),
    [
        (event(), ANYBODY, (True, False)),
        (event("m.room.encrypted"), ANYBODY, (True, False)),
        (event("m.reaction"), ANYBODY, (False, False)),
        (event(content={"msgtype": "m.notice"}), ANYBODY, (False, False)),
        (event(), Reader(is_mentioned=True), (True, True)),
        (event(content={"m.mentions": {"room": True}}), ANYBODY, (True, True)),
        (
            event(content={"m.mentions": {"room": True}}, sender=BOB),
            ANYBODY,
            (True, False),
        ),
        (
            event("m.room.member", {"membership": "invite"}, state_key=BOB),
            Reader(is_state_key=True),
            (True, False),
        ),
        (
            event("m.room.member", {"membership": "invite"}, state_key=BOB),
            ANYBODY,
            (False, False),
        ),
        (event("m.room.tombstone", state_key=""), ANYBODY, (True, True)),
        (event("m.room.tombstone"), ANYBODY, (False, False)),
        (event("org.matrix.msc3381.poll.start"), ANYBODY, (True, False)),
        (event("org.matrix.msc3381.poll.response"), ANYBODY, (False, False)),
        (event("m.room.topic", state_key=""), ANYBODY, (False, False)),
    ],
)
def test_the_predefined_rules(
    looked_at: PushEvent, reader: Reader, expected: tuple[bool, bool]
) -> None:
    outcome = PREDEFINED.evaluate(looked_at, reader)

    assert (outcome.notifies, outcome.highlights) == expected


@pytest.mark.parametrize(("member_count", "is_loud"), [(2, True), (3, False)])
def test_a_message_in_a_room_of_two_is_louder(member_count: int, is_loud: bool) -> None:
    outcome = PREDEFINED.evaluate(event(member_count=member_count), ANYBODY)

    assert ("sound" in outcome.actions) is is_loud


def test_master_turns_everything_off() -> None:
    rules = OwnRules(predefined={".m.rule.master": RuleChange(enabled=True)})

    outcome = Ruleset("key", rules).evaluate(event(), Reader(is_mentioned=True))

    assert outcome == NOTHING


def test_kinds_are_checked_in_their_order_and_the_first_rule_met_counts() -> None:
    content = {"body": "tea time"}
    one, two, three = (
        Rule("a", ("notify",), pattern=word) for word in ("x", "tea", "time")
    )
    loud = Rule("b", ("notify", HIGHLIGHT), pattern="time")
    room = Rule(ROOM, ("notify", HIGHLIGHT))
    sender = Rule(ALICE, ())

    def outcome(rules: OwnRules) -> Outcome:
        return Ruleset("key", rules).evaluate(event(content=content), ANYBODY)

    assert not outcome(OwnRules(content=(one, two, loud))).highlights
    assert outcome(OwnRules(content=(loud, two))).highlights
    assert not outcome(OwnRules(content=(three,), room=(room,))).highlights
    assert outcome(OwnRules(room=(room,), sender=(sender,))).highlights
    assert outcome(OwnRules(sender=(sender,))) == NOTHING


def test_disabled_rules_never_match() -> None:
    rules = OwnRules(sender=(Rule(ALICE, (), enabled=False),))

    assert Ruleset("key", rules).evaluate(event(), ANYBODY).notifies


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ((), (False, False)),
        (("notify",), (True, False)),
        (("notify", HIGHLIGHT), (True, True)),
        (("notify", {**HIGHLIGHT, "value": True}), (True, True)),  # type: ignore[dict-item]
        (("notify", {"set_tweak": "highlight", "value": False}), (True, False)),
        # Without `notify` there is nothing to be highlighted.
        ((HIGHLIGHT,), (False, False)),
        (("notify", {"set_tweak": "sound", "value": "x"}), (True, False)),
    ],
)
def test_what_actions_come_to(
    actions: tuple[Action, ...], expected: tuple[bool, bool]
) -> None:
    outcome = Outcome.of(actions)

    assert (outcome.notifies, outcome.highlights) == expected


def test_rules_for_other_rooms_make_no_difference() -> None:
    """So that all who muted other rooms are one in this one."""
    by_condition = OwnRules(override=(muting(ROOM),))
    by_kind = OwnRules(room=(Rule(ROOM, ()),))

    for rules in (by_condition, by_kind):
        assert key_of(rules_in(rules, OTHER_ROOM)) == PREDEFINED_KEY
        assert key_of(rules_in(rules, ROOM)) != PREDEFINED_KEY
        assert rooms_named(rules) == {ROOM.lower(): ROOM}


def test_the_ids_of_rules_make_no_difference_where_they_mean_nothing() -> None:
    """Clients make them up."""
    one, other = (OwnRules(content=(Rule(i, (), pattern="tea"),)) for i in ("a", "b"))

    assert key_of(rules_in(one, ROOM)) == key_of(rules_in(other, ROOM))


def test_disabled_rules_make_no_difference() -> None:
    rules = OwnRules(sender=(Rule(ALICE, (), enabled=False),))

    assert key_of(rules_in(rules, ROOM)) == PREDEFINED_KEY


def test_a_rule_with_a_pattern_of_rooms_counts_in_all() -> None:
    rule = Rule("r", (), conditions=(matches("room_id", "!R*"),))
    rules = OwnRules(override=(rule,))

    assert rooms_named(rules) == {}
    assert rules_in(rules, OTHER_ROOM).override


def test_a_rule_by_the_property_of_a_room_is_of_that_room() -> None:
    condition = {"kind": "event_property_is", "key": "room_id", "value": ROOM}
    rules = OwnRules(underride=(Rule("r", ("notify",), conditions=(condition,)),))

    assert rules_in(rules, ROOM).underride
    assert not rules_in(rules, OTHER_ROOM).underride


@pytest.mark.parametrize("kind", [RuleKind.OVERRIDE, RuleKind.ROOM])
def test_rules_for_a_room_go_to_its_successor(kind: RuleKind) -> None:
    """Once: what the successor has of its own stays."""
    conditions = None if kind is RuleKind.ROOM else muting(ROOM).conditions
    rules = OwnRules().with_rule(kind, Rule(ROOM, (), conditions=conditions))

    moved = moved_to_room(rules, ROOM, OTHER_ROOM)

    assert [rule.rule_id for rule in moved.of_kind(kind)] == [ROOM, OTHER_ROOM]
    assert rules_in(moved, OTHER_ROOM).of_kind(kind)
    assert moved_to_room(moved, ROOM, OTHER_ROOM) == moved
    assert moved_to_room(OwnRules(), ROOM, OTHER_ROOM) == OwnRules()
