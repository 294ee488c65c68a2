"""The rules on ``m.room.power_levels`` events."""

from typing import Any

import pytest

from tests.protocol.auth_room import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    Room,
    Scene,
    allowed,
    broken_rule,
    check,
    rejected,
)
from tremula.protocol.events import Event
from tremula.protocol.power_levels import THRESHOLDS
from tremula.protocol.room_state import POWER_LEVELS

# Values that are levels in no room version.
NO_LEVELS: list[object] = [
    None,
    True,
    False,
    [],
    {},
    [50],
    "",
    " ",
    "abc",
    "5 0",
    "1_000",
    "+-5",
    "0x10",
    "50.0",
    "5e1",
    "\u0661",  # a digit, but not of ASCII
    "9" * 400,
    "-" + "9" * 400,
    float("inf"),
    float("-inf"),
    float("nan"),
]
TEXT_LEVELS = ["50", "050", "+50", " 50\t", "\n +0050 "]


def _first_levels(r: Room, content: dict[str, Any], by: str = ALICE) -> Event:
    r.without(POWER_LEVELS)
    return r.event("m.room.power_levels", content, sender=by, state_key="")


def _users(r: Room, **users: object) -> dict[str, object]:
    """The present users, and others by their localparts; a None removes."""
    named = {f"@{name}:a.example": level for name, level in users.items()}
    merged = {**r.state[POWER_LEVELS].content["users"], **named}
    return {user_id: level for user_id, level in merged.items() if level is not None}


ALLOWED: list[tuple[str, str, Scene]] = [
    ("empty levels are set", "1-12", lambda r: _first_levels(r, {})),
    (
        "the first levels may be above the sender's",
        "1-12",
        lambda r: _first_levels(r, {"users": {BOB: 1000}, "ban": 2000}),
    ),
    ("nothing changes", "1-12", lambda r: r.new_levels()),
    (
        "a level equal to the sender's is given",
        "1-12",
        lambda r: r.new_levels(users=_users(r, dave=50)),
    ),
    (
        "a lower level is taken away",
        "1-12",
        lambda r: r.levels(users={BOB: 50, DAVE: 49}).new_levels(users={BOB: 50}),
    ),
    (
        "a user gives up power",
        "1-12",
        lambda r: r.new_levels(users=_users(r, bob=0)),
    ),
    (
        "a user leaves the list",
        "1-12",
        lambda r: r.new_levels(users=_users(r, bob=None)),
    ),
    *(
        (
            f"{name} is set to the sender's level",
            "1-12",
            lambda r, name=name: r.new_levels(**{name: 50}),
        )
        for name in THRESHOLDS
    ),
    *(
        (
            f"{name} is removed",
            "1-12",
            lambda r, name=name: r.more_levels(**{name: 50}).new_levels(**{name: None}),
        )
        for name in THRESHOLDS
    ),
    *(
        (
            f"an entry of {name} is added, changed and removed",
            "1-12",
            lambda r, name=name: r.more_levels(
                **{name: {"old": 50, "kept": 99, "changed": 1}}
            ).new_levels(**{name: {"new": 50, "kept": 99, "changed": 2}}),
        )
        for name in ("events", "notifications")
    ),
    (
        "levels for notifications are not limited yet",
        "1-5",
        lambda r: r.new_levels(notifications={"room": 99}),
    ),
    (
        "levels for notifications may be of any shape",
        "1-5",
        lambda r: r.new_levels(notifications="none"),
    ),
    *(
        (
            f"a level is written {text!r}",
            "1-9",
            lambda r, text=text: r.new_levels(
                users=_users(r, dave=text), kick=text, events={"x": text}
            ),
        )
        for text in TEXT_LEVELS
    ),
    (
        "a text of the same value is no change",
        "1-9",
        lambda r: r.levels(users={ALICE: " +0100"}, ban=99, state_default=0).new_levels(
            CAROL, users={ALICE: 100}, ban="99", state_default="0"
        ),
    ),
    (
        "a float counts as truncated",
        "1-5",
        lambda r: r.new_levels(users=_users(r, dave=50.57), ban=-1e3),
    ),
    (
        "levels are larger than canonical JSON allows",
        "1-5",
        lambda r: r.new_levels(ban=-(2**70)),
    ),
    (
        "the creator is an ordinary user in the list",
        "1-11",
        lambda r: r.create(additional_creators=[BOB]).new_levels(
            ALICE, users={ALICE: 100, BOB: 50}
        ),
    ),
    (
        "a creator gives any level",
        "12",
        lambda r: r.new_levels(ALICE, users=_users(r, dave=2**53 - 1), ban=2**53 - 1),
    ),
    (
        "a malformed list of creators names those that it names",
        "12",
        lambda r: r.create(additional_creators=[5, None]).new_levels(ALICE),
    ),
]

REJECTED: list[tuple[str, str, Scene]] = [
    *(
        (
            f"{name} is {value!r:.20}",
            "1-5:10 6-9:9 10-11:9.1 12:10.1",
            lambda r, name=name, value=value: _first_levels(r, {name: value}),
        )
        for name in THRESHOLDS
        for value in (NO_LEVELS if name == "ban" else NO_LEVELS[:2])
    ),
    *(
        (
            f"an entry of events is {value!r:.20}",
            "1-5:10 6-9:9 10-11:9.2 12:10.2",
            lambda r, value=value: _first_levels(r, {"events": {"x": value}}),
        )
        for value in NO_LEVELS
    ),
    *(
        (
            f"an entry of notifications is {value!r:.20}",
            "6-9:9 10-11:9.2 12:10.2",
            lambda r, value=value: _first_levels(r, {"notifications": {"x": value}}),
        )
        for value in NO_LEVELS
    ),
    *(
        (
            f"a user's level is {value!r:.20}",
            "1-5:10.1 6-9:9.1 10-11:9.3 12:10.3",
            lambda r, value=value: _first_levels(r, {"users": {BOB: value}}),
        )
        for value in NO_LEVELS
    ),
    *(
        (
            f"users is {value!r}",
            "1-5:10.1 6-9:9.1 10-11:9.3 12:10.3",
            lambda r, value=value: _first_levels(r, {"users": value}),
        )
        for value in (None, "users", 5, True, [BOB], [])
    ),
    *(
        (
            f"events is {value!r}",
            "1-5:10 6-9:9 10-11:9.2 12:10.2",
            lambda r, value=value: _first_levels(r, {"events": value}),
        )
        for value in (None, "events", 5, True, ["x"], [])
    ),
    *(
        (
            f"users names {user_id!r}",
            "1-5:10.1 6-9:9.1 10-11:9.3 12:10.3",
            lambda r, user_id=user_id: _first_levels(r, {"users": {user_id: 5}}),
        )
        for user_id in ("", "bob", "@bob", "bob:a.example", f"@{'b' * 255}:a.example")
    ),
    *(
        (
            f"a level is written {text!r}",
            "10-11:9.1 12:10.1",
            lambda r, text=text: r.new_levels(kick=text),
        )
        for text in TEXT_LEVELS
    ),
    *(
        (
            f"a level is the float {value!r}",
            "6-9:9 10-11:9.1 12:10.1",
            lambda r, value=value: r.new_levels(kick=value),
        )
        for value in (50.0, 50.57)
    ),
    (
        "the sender of the create event is given a level",
        "12:10.4",
        lambda r: r.new_levels(ALICE, users={ALICE: 100}),
    ),
    (
        "an additional creator is given a level in the first levels",
        "12:10.4",
        lambda r: _first_levels(
            r.create(additional_creators=[CAROL]), {"users": {CAROL: 100}}
        ),
    ),
    # thresholds: added, changed, removed
    *(
        (
            f"{name} above the sender is changed",
            "1-5:10.3.1 6-9:9.3.1 10-11:9.5.1 12:10.6.1",
            lambda r, name=name: r.levels(
                **{"users": {BOB: 50, CAROL: 60}, "state_default": 0, name: 51}
            ).new_levels(**{name: 10}),
        )
        for name in THRESHOLDS
        if name not in ("users_default", "state_default")
    ),
    *(
        (
            f"{name} above the sender is removed",
            "1-5:10.3.1 6-9:9.3.1 10-11:9.5.1 12:10.6.1",
            lambda r, name=name: r.levels(
                **{"users": {BOB: 50}, "state_default": 0, name: 51}
            ).new_levels(**{name: None}),
        )
        for name in THRESHOLDS
        if name not in ("users_default", "state_default")
    ),
    (
        "state_default above the sender is changed",
        "1-5:10.3.1 6-9:9.3.1 10-11:9.5.1 12:10.6.1",
        lambda r: r.more_levels(
            state_default=51, events={"m.room.power_levels": 50}
        ).new_levels(state_default=50),
    ),
    (
        "users_default above the sender is changed",
        "1-5:10.3.1 6-9:9.3.1 10-11:9.5.1 12:10.6.1",
        lambda r: r.more_levels(users_default=51).new_levels(users_default=50),
    ),
    *(
        (
            f"{name} is set above the sender",
            "1-5:10.3.2 6-9:9.3.2 10-11:9.5.2 12:10.6.2",
            lambda r, name=name: r.new_levels(**{name: 51}),
        )
        for name in THRESHOLDS
    ),
    (
        "a text above the sender is set",
        "1-5:10.3.2 6-9:9.3.2",
        lambda r: r.new_levels(ban=" 051 "),
    ),
    # entries
    *(
        (
            f"an entry of {name} above the sender is {how}",
            rules,
            lambda r, name=name, new=new: r.more_levels(**{name: {"x": 51}}).new_levels(
                **{name: new}
            ),
        )
        for name, rules in (
            ("events", "1-5:10.4.1 6-9:9.4.1 10-11:9.6.1 12:10.7.1"),
            ("notifications", "6-9:9.4.1 10-11:9.6.1 12:10.7.1"),
        )
        for how, new in (
            ("changed", {"x": 5}),
            ("removed", {}),
            ("removed with all others", None),
        )
    ),
    *(
        (
            f"an entry of {name} is {how} above the sender",
            rules,
            lambda r, name=name, old=old: r.more_levels(**{name: old}).new_levels(
                **{name: {"x": 51}}
            ),
        )
        for name, rules in (
            ("events", "1-5:10.5.1 6-9:9.5.1 10-11:9.7.1 12:10.8.1"),
            ("notifications", "6-9:9.5.1 10-11:9.7.1 12:10.8.1"),
        )
        for how, old in (("changed", {"x": 5}), ("added", {}))
    ),
    # users
    *(
        (
            f"an equal user is {how}",
            "1-5:10.6.1 6-9:9.6.1 10-11:9.8.1 12:10.9.1",
            lambda r, new=new: r.levels(users={BOB: 50, CAROL: 50}).new_levels(
                users={BOB: 50, **new}
            ),
        )
        for how, new in (
            ("demoted", {CAROL: 49}),
            ("removed", {}),
            ("raised", {CAROL: 51}),
        )
    ),
    (
        "a higher user is demoted",
        "1-5:10.6.1 6-9:9.6.1 10-11:9.8.1 12:10.9.1",
        lambda r: r.levels(users={BOB: 50, CAROL: 60}).new_levels(
            users={BOB: 50, CAROL: 0}
        ),
    ),
    (
        "a user is added above the sender",
        "1-5:10.7.1 6-9:9.7.1 10-11:9.9.1 12:10.10.1",
        lambda r: r.new_levels(users=_users(r, dave=51)),
    ),
    (
        "a lower user is raised above the sender",
        "1-5:10.7.1 6-9:9.7.1 10-11:9.9.1 12:10.10.1",
        lambda r: r.levels(users={BOB: 50, CAROL: 1}).new_levels(
            users={BOB: 50, CAROL: 51}
        ),
    ),
    (
        "a user promotes the own self",
        "1-5:10.7.1 6-9:9.7.1 10-11:9.9.1 12:10.10.1",
        lambda r: r.new_levels(users=_users(r, bob=51)),
    ),
    # before all this
    (
        "a member below the level changes levels",
        "1-5:8 6-11:7 12:8",
        lambda r: r.new_levels(CAROL),
    ),
]


@pytest.mark.parametrize(("version", "scene"), allowed(ALLOWED))
def test_power_levels_are_allowed(version: str, scene: Scene) -> None:
    check(version, scene)


@pytest.mark.parametrize(("version", "rule", "scene"), rejected(REJECTED))
def test_power_levels_are_rejected(version: str, rule: str, scene: Scene) -> None:
    assert broken_rule(version, scene) == rule
