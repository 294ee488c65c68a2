"""Reading power levels, and what they allow."""

import pytest

from tests.protocol.auth_room import ALICE, BOB, CAROL, DAVE, Room, room, versions_in
from tremula.protocol.power_levels import CREATOR_LEVEL, PowerLevels, parse_level
from tremula.protocol.room_state import CREATE, POWER_LEVELS
from tremula.protocol.room_versions import ROOM_VERSIONS

ALL_VERSIONS = list(versions_in("1-12"))


def _levels(r: Room) -> PowerLevels:
    return PowerLevels.of(r.version, r.state[CREATE], r.state.get(POWER_LEVELS))


@pytest.mark.parametrize(
    ("versions", "value", "level"),
    [
        ("1-12", 50, 50),
        ("1-12", -(2**53) + 1, -(2**53) + 1),
        ("1-5", 2**80, 2**80),
        ("1-5", 10**400, None),
        ("1-5", -(10**400), None),
        ("1-9", "100", 100),
        ("1-9", "000100", 100),
        ("1-9", "+100", 100),
        ("1-9", "-100", -100),
        ("1-9", " 100 ", 100),
        ("1-9", " 00100 ", 100),
        ("1-9", "\t +100\r\n", 100),
        ("1-9", " -100 ", -100),
        ("1-9", "0", 0),
        ("1-9", "-000", 0),
        ("1-9", "0" * 60_000 + "7", 7),
        ("1-9", "0" * 60_000 + "x", None),
        ("1-9", "9" * 308, int("9" * 308)),
        ("1-9", "9" * 309, None),
        ("1-9", "9" * 60_000, None),
        ("1-9", "- 100", None),
        ("1-9", "", None),
        ("10-12", "100", None),
        ("1-5", 50.57, 50),
        ("1-5", -50.57, -50),
        ("1-5", 5.114698e4, 51146),
        ("1-5", float("inf"), None),
        ("1-5", float("nan"), None),
        ("6-12", 50.57, None),
        ("6-12", 50.0, None),
        ("1-12", True, None),
        ("1-12", False, None),
        ("1-12", None, None),
        ("1-12", [50], None),
        ("1-12", {}, None),
    ],
    ids=lambda value: f"{value!r:.24}",
)
def test_a_level_is_read(versions: str, value: object, level: int | None) -> None:
    for version in versions_in(versions):
        assert parse_level(ROOM_VERSIONS[version], value) == level


@pytest.mark.parametrize("version", ALL_VERSIONS)
@pytest.mark.parametrize("has_event", [True, False])
def test_the_defaults_are_those_of_the_specification(
    version: str, *, has_event: bool
) -> None:
    r = room(version).levels()
    levels = _levels(r if has_event else r.without(POWER_LEVELS))

    assert levels.user(BOB) == 0
    assert levels.event("x.y", is_state=False) == 0
    assert levels.event("x.y", is_state=True) == 50
    assert (levels.ban, levels.kick, levels.redact, levels.invite) == (50, 50, 50, 0)
    assert levels.notification("room") == 50


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_what_the_event_says_goes_before_the_defaults(version: str) -> None:
    r = room(version).levels(
        users={BOB: 7, "@low:a.example": -5},
        users_default=1,
        events={"x.y": 9},
        events_default=2,
        state_default=3,
        ban=4,
        kick=5,
        redact=6,
        invite=8,
        notifications={"room": 11},
    )

    levels = _levels(r)

    assert levels.user(BOB) == 7
    assert levels.user("@low:a.example") == -5
    assert levels.user(CAROL) == 1
    assert levels.event("x.y", is_state=True) == 9
    assert levels.event("x.z", is_state=True) == 3
    assert levels.event("x.z", is_state=False) == 2
    assert (levels.ban, levels.kick, levels.redact, levels.invite) == (4, 5, 6, 8)
    assert levels.notification("room") == 11
    assert levels.notification("other") == 50


@pytest.mark.parametrize("version", list(versions_in("1-11")))
def test_the_creator_has_100_only_without_power_levels(version: str) -> None:
    r = room(version).levels(users_default=3)

    assert _levels(r).user(ALICE) == 3
    assert _levels(r.without(POWER_LEVELS)).user(ALICE) == 100


def test_the_creator_is_named_by_the_content_until_room_version_10() -> None:
    for version in versions_in("1-10"):
        levels = _levels(room(version).create(creator=BOB).without(POWER_LEVELS))
        assert (levels.user(BOB), levels.user(ALICE)) == (100, 0)

    levels = _levels(room("11").create(creator=BOB).without(POWER_LEVELS))
    assert (levels.user(BOB), levels.user(ALICE)) == (0, 100)


@pytest.mark.parametrize("has_event", [True, False])
def test_privileged_creators_are_above_all(*, has_event: bool) -> None:
    r = room("12").create(additional_creators=[BOB, 5, None])
    r.levels(users={ALICE: 1, BOB: 2, CAROL: 2**53 - 1})
    levels = _levels(r if has_event else r.without(POWER_LEVELS))

    assert levels.user(ALICE) == levels.user(BOB) == CREATOR_LEVEL
    assert levels.user(CAROL) < CREATOR_LEVEL
    assert levels.user(DAVE) == 0


@pytest.mark.parametrize("version", ALL_VERSIONS)
@pytest.mark.parametrize("value", [None, "x", 5, True, [], [BOB], {BOB: None}, {"": 5}])
def test_malformed_objects_of_levels_count_as_absent(
    version: str, value: object
) -> None:
    r = room(version).levels(users=value, events=value, notifications=value)

    levels = _levels(r)

    assert levels.user(BOB) == 0
    assert levels.event(BOB, is_state=True) == 50
    assert levels.notification(BOB) == 50


@pytest.mark.parametrize("version", ALL_VERSIONS)
@pytest.mark.parametrize("value", [None, "x", True, [], {}, ["50"]])
def test_malformed_levels_count_as_absent(version: str, value: object) -> None:
    r = room(version).levels(
        users={BOB: value},
        users_default=value,
        events_default=value,
        state_default=value,
        ban=value,
        kick=value,
        redact=value,
        invite=value,
    )

    assert _levels(r).user(BOB) == 0
    assert _levels(r).state_default == 50
    assert _levels(r).ban == 50


@pytest.mark.parametrize("creator", [None, 5, ["x"], {"user": ALICE}])
def test_a_malformed_creator_is_nobody(creator: object) -> None:
    r = room("5").create(creator=creator).without(POWER_LEVELS)

    assert _levels(r).user(ALICE) == 0


@pytest.mark.parametrize("creators", [None, 5, ALICE, {BOB: 1}, [[BOB]]])
def test_malformed_additional_creators_are_nobody(creators: object) -> None:
    r = room("12").create(additional_creators=creators).without(POWER_LEVELS)

    assert _levels(r).users == {ALICE: CREATOR_LEVEL}


def test_sending_takes_the_level_of_the_type() -> None:
    levels = _levels(room("11").levels(users={BOB: 50}, events={"x.y": 51}))

    assert levels.can_send(BOB, "x.z", is_state=True)
    assert not levels.can_send(BOB, "x.y", is_state=False)
    assert levels.can_send(CAROL, "x.z", is_state=False)
    assert not levels.can_send(CAROL, "x.z", is_state=True)


def test_redacting_and_inviting_take_their_levels() -> None:
    levels = _levels(room("11").levels(users={BOB: 50}, redact=50, invite=51))

    assert levels.can_redact(BOB)
    assert not levels.can_redact(CAROL)
    assert not levels.can_invite(BOB)
    assert _levels(room("11")).can_invite(CAROL)


def test_kicks_and_bans_take_their_level_and_one_above_the_target() -> None:
    levels = _levels(
        room("11").levels(users={ALICE: 60, BOB: 50, DAVE: 50}, kick=50, ban=60)
    )

    assert levels.can_kick(BOB, CAROL)
    assert not levels.can_kick(BOB, DAVE)
    assert not levels.can_kick(CAROL, "@x:a.example")
    assert levels.can_ban(ALICE, BOB)
    assert not levels.can_ban(BOB, CAROL)
    assert not levels.can_ban(ALICE, ALICE)
    assert levels.can_unban(ALICE, BOB)
    assert not levels.can_unban(BOB, CAROL)


def test_creators_cannot_remove_each_other() -> None:
    levels = _levels(room("12").create(additional_creators=[BOB]))

    assert not levels.can_kick(ALICE, BOB)
    assert not levels.can_ban(BOB, ALICE)
    assert levels.can_ban(BOB, CAROL)
