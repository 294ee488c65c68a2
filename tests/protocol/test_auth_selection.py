"""Which events authorise an event, and the rules on those that a PDU names."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.protocol.auth_room import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    Room,
    room,
    rules_by_version,
    versions_in,
)
from tremula.protocol.auth_selection import auth_event_keys, check_auth_events
from tremula.protocol.errors import AuthRuleViolation
from tremula.protocol.events import Event
from tremula.protocol.identifiers import RoomId
from tremula.protocol.room_state import CREATE, JOIN_RULES, POWER_LEVELS, member_key

ALL_VERSIONS = list(versions_in("1-12"))
INVITE = ("m.room.third_party_invite", "token")
THIRD_PARTY = {"signed": {"token": "token"}}

NO_PROOFS: list[object] = [
    None,
    "x",
    [],
    {},
    {"signed": 5},
    {"signed": {}},
    {"signed": {"token": 5}},
]

# What is selected besides the create event (until 11), the power levels and the
# sender's membership: versions, state key, content, keys.
MEMBERS: list[tuple[str, str | None, dict[str, Any], list[tuple[str, str]]]] = [
    ("1-12", BOB, {"membership": "join"}, [JOIN_RULES]),
    ("1-12", DAVE, {"membership": "join"}, [member_key(DAVE), JOIN_RULES]),
    ("1-12", DAVE, {"membership": "invite"}, [member_key(DAVE), JOIN_RULES]),
    ("1-12", BOB, {"membership": "knock"}, [JOIN_RULES]),
    ("1-12", DAVE, {"membership": "leave"}, [member_key(DAVE)]),
    ("1-12", DAVE, {"membership": "ban"}, [member_key(DAVE)]),
    ("1-12", BOB, {"membership": "leave"}, []),
    ("1-12", DAVE, {}, [member_key(DAVE)]),
    ("1-12", DAVE, {"membership": ["join"]}, [member_key(DAVE)]),
    ("1-12", None, {"membership": "join"}, []),
    (
        "1-12",
        DAVE,
        {"membership": "invite", "third_party_invite": THIRD_PARTY},
        [member_key(DAVE), JOIN_RULES, INVITE],
    ),
    (
        "1-12",
        DAVE,
        {"membership": "leave", "third_party_invite": THIRD_PARTY},
        [member_key(DAVE)],
    ),
    *(
        (
            "1-12",
            DAVE,
            {"membership": "invite", "third_party_invite": malformed},
            [member_key(DAVE), JOIN_RULES],
        )
        for malformed in NO_PROOFS
    ),
    (
        "1-7",
        BOB,
        {"membership": "join", "join_authorised_via_users_server": CAROL},
        [JOIN_RULES],
    ),
    (
        "8-12",
        BOB,
        {"membership": "join", "join_authorised_via_users_server": CAROL},
        [JOIN_RULES, member_key(CAROL)],
    ),
    (
        "8-12",
        BOB,
        {"membership": "join", "join_authorised_via_users_server": BOB},
        [JOIN_RULES],
    ),
    (
        "8-12",
        BOB,
        {"membership": "join", "join_authorised_via_users_server": [CAROL]},
        [JOIN_RULES],
    ),
    (
        "8-12",
        BOB,
        {"membership": "leave", "join_authorised_via_users_server": CAROL},
        [],
    ),
]


def _basis(version: str) -> list[tuple[str, str]]:
    create = [] if version == "12" else [CREATE]
    return [*create, POWER_LEVELS, member_key(BOB)]


@pytest.mark.parametrize(
    ("version", "state_key", "content", "more"),
    [
        (version, state_key, content, more)
        for versions, state_key, content, more in MEMBERS
        for version in versions_in(versions)
    ],
)
def test_a_membership_is_authorised_by(
    version: str,
    state_key: str | None,
    content: dict[str, Any],
    more: list[tuple[str, str]],
) -> None:
    keys = auth_event_keys(
        room(version).version, "m.room.member", state_key, BOB, content
    )

    assert keys == _basis(version) + more


@pytest.mark.parametrize("version", ALL_VERSIONS)
@pytest.mark.parametrize("state_key", [None, "", DAVE])
def test_any_other_event_is_authorised_by(version: str, state_key: str | None) -> None:
    content = {"membership": "join"}

    keys = auth_event_keys(room(version).version, "x.y", state_key, BOB, content)

    assert keys == _basis(version)


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_nothing_authorises_the_create_event(version: str) -> None:
    r = room(version)

    assert auth_event_keys(r.version, "m.room.create", "", ALICE, {}) == []
    check_auth_events(r.version, r.event("m.room.create", state_key=""), [])


def _cited(r: Room, event: Event) -> list[Event]:
    keys = auth_event_keys(
        r.version, event.type, event.state_key, event.sender, event.content
    )
    return [r.state[key] for key in keys if key in r.state]


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_the_selected_events_are_accepted(version: str) -> None:
    r = room(version)
    for event in (
        r.event("m.text", sender=BOB),
        r.membership(DAVE, "invite", by=BOB),
        r.membership(CAROL, "ban", by=BOB),
    ):
        check_auth_events(r.version, event, _cited(r, event), rejected={"$other"})


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_events_that_are_not_needed_may_be_missing(version: str) -> None:
    r = room(version).without(POWER_LEVELS, member_key(BOB))
    event = r.event("m.text", sender=BOB)

    check_auth_events(r.version, event, _cited(r, event))


def _elsewhere(r: Room) -> Event:
    return r.event("m.room.power_levels", state_key="", room_id=RoomId("!x:b.example"))


# Given the room and the right auth events of a message of Bob's: others.
BAD_LISTS: list[tuple[str, str, Callable[[Room, list[Event]], list[Event]]]] = [
    (
        "an event is named twice",
        "1-11:2.1 12:3.1",
        lambda r, cited: [*cited, r.state[POWER_LEVELS]],
    ),
    (
        "two events have one key",
        "1-11:2.1 12:3.1",
        lambda r, cited: [*cited, r.event("m.room.power_levels", state_key="")],
    ),
    (
        "join rules are named for a message",
        "1-11:2.2 12:3.2",
        lambda r, cited: [*cited, r.state[JOIN_RULES]],
    ),
    (
        "another member is named",
        "1-11:2.2 12:3.2",
        lambda r, cited: [*cited, r.state[member_key(CAROL)]],
    ),
    (
        "the create event is named",
        "12:3.2",
        lambda r, cited: [*cited, r.state[CREATE]],
    ),
    (
        "an event without a state key is named",
        "1-11:2.2 12:3.2",
        lambda r, cited: [*cited, r.event("m.room.member")],
    ),
    (
        "the create event is missing",
        "1-11:2.4",
        lambda r, cited: [event for event in cited if event.type != "m.room.create"],
    ),
    ("nothing is named", "1-11:2.4", lambda r, cited: []),
    (
        "an event of another room is named",
        "1-11:2.5 12:3.5",
        lambda r, cited: [
            _elsewhere(r) if event.type == "m.room.power_levels" else event
            for event in cited
        ],
    ),
]


@pytest.mark.parametrize(
    ("version", "rule", "bad_list"),
    [
        pytest.param(version, rule, bad_list, id=f"RV{version}-{rule}-{sentence}")
        for sentence, rules, bad_list in BAD_LISTS
        for version, rule in rules_by_version(rules)
    ],
)
def test_a_list_of_auth_events_is_rejected(
    version: str,
    rule: str,
    bad_list: Callable[[Room, list[Event]], list[Event]],
) -> None:
    r = room(version)
    event = r.event("m.text", sender=BOB)

    with pytest.raises(AuthRuleViolation) as violation:
        check_auth_events(r.version, event, bad_list(r, _cited(r, event)))

    assert violation.value.rule == f"RV{version} {rule}"


@pytest.mark.parametrize(("version", "rule"), list(rules_by_version("1-11:2.3 12:3.3")))
def test_a_rejected_auth_event_is_rejected(version: str, rule: str) -> None:
    r = room(version)
    event = r.event("m.text", sender=BOB)
    rejected = {r.state[member_key(BOB)].event_id}

    with pytest.raises(AuthRuleViolation) as violation:
        check_auth_events(r.version, event, _cited(r, event), rejected=rejected)

    assert violation.value.rule == f"RV{version} {rule}"
