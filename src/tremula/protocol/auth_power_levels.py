"""The authorisation rules on ``m.room.power_levels`` (RV1 rule 10, RV12 rule 10).

Nobody may give, take or change a level above their own, nor a level of somebody as
high as they are.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from tremula.protocol.auth_rule_numbers import malformed, rule_numbers, violation
from tremula.protocol.auth_state import AuthState
from tremula.protocol.errors import InvalidParam
from tremula.protocol.events import Event
from tremula.protocol.identifiers import parse_user_id
from tremula.protocol.power_levels import (
    THRESHOLDS,
    parse_level,
    parse_levels,
    parse_thresholds,
    room_creators,
)
from tremula.protocol.room_state import POWER_LEVELS
from tremula.protocol.room_versions import RoomVersion


class _Change(Struct, frozen=True):
    """A level that differs between two power levels events."""

    name: str
    old: int | None  # None: added
    new: int | None  # None: removed


def check_power_levels(version: RoomVersion, event: Event, auth: AuthState) -> None:
    """Check the content of new power levels against those in force.

    Raises:
        AuthRuleViolation: the content is malformed, or exceeds the sender's level.
    """
    _check_levels(version, event.content)
    _check_users(version, event.content)
    if version.privileged_creators:
        _check_creators_unnamed(version, event.content, auth)
    # "If there is no previous m.room.power_levels event in the room, allow."
    current = auth.get(POWER_LEVELS)
    if current is not None:
        level = auth.power_levels.user(event.sender)
        _check_threshold_changes(version, event, current.content, level)
        _check_entry_changes(version, event, current.content, level)
        _check_user_changes(version, event, current.content, level)


def _entry_properties(version: RoomVersion) -> tuple[str, ...]:
    return (
        ("events", "notifications")
        if version.limit_notification_levels
        else ("events",)
    )


def _check_levels(version: RoomVersion, content: Mapping[str, Any]) -> None:
    """RV10 rules 9.1 and 9.2: thresholds and entries are integers.

    Before, no rule says so; but texts "must be [in] the following format", and levels
    out of range "cause the powerlevel event to be rejected" (RV1 "Deprecated event
    content schemas"). Named by the chapter's number alone.
    """
    chapter = rule_numbers(version).power_levels
    strict = version.integer_power_levels
    for name in THRESHOLDS:
        if name in content and parse_level(version, content[name]) is None:
            number = (chapter, 1) if strict else (chapter,)
            raise malformed(version, number, f"{name} is not an integer")
    for name in _entry_properties(version):
        if name in content and not _is_object_of_levels(version, content[name]):
            number = (chapter, 2) if strict else (chapter,)
            message = f"{name} is not an object with integers as values"
            raise malformed(version, number, message)


def _is_object_of_levels(version: RoomVersion, value: object) -> bool:
    return isinstance(value, dict) and len(parse_levels(version, value)) == len(value)


def _check_users(version: RoomVersion, content: Mapping[str, Any]) -> None:
    """RV1 rule 10.1, RV10 rule 9.3.

    "If the users property in content is not an object with keys that are valid user
    IDs with values that are integers [until 9: or a string that is an integer],
    reject."
    """
    if "users" not in content:
        return
    numbers = rule_numbers(version)
    number = (numbers.power_levels, numbers.users_shape)
    users = content["users"]
    if not _is_object_of_levels(version, users):
        message = "users is not an object with integers as values"
        raise malformed(version, number, message)
    for user_id in users:
        try:
            parse_user_id(user_id)
        except InvalidParam as error:
            raise malformed(version, number, f"users: {error.message}") from error


def _check_creators_unnamed(
    version: RoomVersion, content: Mapping[str, Any], auth: AuthState
) -> None:
    """RV12 rule 10.4: creators cannot be given a level, as theirs is infinite."""
    create = auth.create
    assert create is not None
    named = room_creators(version, create).intersection(content.get("users", ()))
    if named:
        number = (rule_numbers(version).power_levels, 4)
        message = f"users names creators of the room: {', '.join(sorted(named))}"
        raise malformed(version, number, message)


def _changes(old: Mapping[str, int], new: Mapping[str, int]) -> Iterator[_Change]:
    # Symmetric difference: linear, and nothing is looked at twice but changed keys.
    names = {name for name, _ in old.items() ^ new.items()}
    for name in sorted(names):
        yield _Change(name, old.get(name), new.get(name))


def _check_threshold_changes(
    version: RoomVersion, event: Event, current: Mapping[str, Any], level: int
) -> None:
    """RV1 rule 10.3: "check if they were added, changed or removed"."""
    numbers = rule_numbers(version)
    number = (numbers.power_levels, numbers.changes)
    old = parse_thresholds(version, current)
    new = parse_thresholds(version, event.content)
    for change in _changes(old, new):
        _check_old(version, (*number, 1), change, level)
        _check_new(version, (*number, 2), change, level)


def _check_entry_changes(
    version: RoomVersion, event: Event, current: Mapping[str, Any], level: int
) -> None:
    """RV1 rules 10.4 and 10.5: entries of `events`, from 6 on of `notifications`."""
    numbers = rule_numbers(version)
    for name in _entry_properties(version):
        old = parse_levels(version, current.get(name))
        new = parse_levels(version, event.content.get(name))
        for change in _changes(old, new):
            number = (numbers.power_levels, numbers.changes + 1, 1)
            _check_old(version, number, change, level)
            number = (numbers.power_levels, numbers.changes + 2, 1)
            _check_new(version, number, change, level)


def _check_old(
    version: RoomVersion, number: tuple[int, ...], change: _Change, level: int
) -> None:
    # "If the current value is greater than the sender's current power level, reject."
    if change.old is not None and change.old > level:
        message = (
            f"your power level is {level}: you can't change {change.name}, "
            f"which is {change.old}"
        )
        raise violation(version, number, message)


def _check_new(
    version: RoomVersion, number: tuple[int, ...], change: _Change, level: int
) -> None:
    # "If the new value is greater than the sender's current power level, reject."
    if change.new is not None and change.new > level:
        message = (
            f"your power level is {level}: you can't set {change.name} to {change.new}"
        )
        raise violation(version, number, message)


def _check_user_changes(
    version: RoomVersion, event: Event, current: Mapping[str, Any], level: int
) -> None:
    """RV1 rules 10.6 and 10.7: entries of `users`."""
    numbers = rule_numbers(version)
    old = parse_levels(version, current.get("users"))
    new = parse_levels(version, event.content.get("users"))
    for change in _changes(old, new):
        # "For each entry being changed in, or removed from, the users property, other
        # than the sender's own entry: If the current value is greater than or equal
        # to the sender's current power level, reject."
        is_own = change.name == event.sender
        if change.old is not None and change.old >= level and not is_own:
            number = (numbers.power_levels, numbers.changes + 3, 1)
            message = (
                f"your power level is {level}: you can't change that of "
                f"{change.name}, which is {change.old}"
            )
            raise violation(version, number, message)
        number = (numbers.power_levels, numbers.changes + 4, 1)
        _check_new(version, number, change, level)
