"""Power levels: who may do what (CS ``m.room.power_levels``).

Reading never fails: a value that is not a level counts as absent. Whether an event
with such values may enter a room is for the authorisation rules.
"""

import re
import sys
from collections.abc import Mapping
from typing import Any, Self

from msgspec import Struct

from tremula.protocol.room_state import StateEvent
from tremula.protocol.room_versions import RoomVersion

# Above any level that JSON can carry: RV12 "The power level of 'room creators' is
# infinitely high."
CREATOR_LEVEL = 2**63
# Until room version 11, and only while the room has no power levels event.
_INITIAL_CREATOR_LEVEL = 100

# The properties of the content that hold one level each, in the rules' order.
THRESHOLDS = (
    "users_default",
    "events_default",
    "state_default",
    "ban",
    "redact",
    "kick",
    "invite",
)

_INTEGER_TEXT = re.compile(r"[+-]?([0-9]+)")
# A double has at most 309 digits; longer texts need no parsing to be out of range.
_DIGITS_MAX = sys.float_info.max_10_exp + 1


def parse_level(version: RoomVersion, value: object) -> int | None:
    """A power level, or None if *value* is none in this room version.

    Before room version 10 texts are levels too, and before 6 floats are, truncated
    (RV1 "Deprecated event content schemas").
    """
    if type(value) is int:
        return value if version.strict_canonical_json else _within_double(value)
    if version.integer_power_levels:
        return None
    if isinstance(value, str):
        return _parse_text(value)
    if isinstance(value, float) and not version.strict_canonical_json:
        return _truncate(value)
    return None


def _parse_text(text: str) -> int | None:
    stripped = text.strip()
    match = _INTEGER_TEXT.fullmatch(stripped)
    if match is None:
        return None
    digits = match[1].lstrip("0")
    if len(digits) > _DIGITS_MAX:
        return None
    magnitude = int(digits or "0")
    return _within_double(-magnitude if stripped[0] == "-" else magnitude)


def _truncate(value: float) -> int | None:
    try:
        return int(value)
    except (OverflowError, ValueError):  # an infinity, NaN
        return None


def _within_double(value: int) -> int | None:
    # RV1: "Values outside the range represented by IEE754 binary64 (a "double")
    # cause the powerlevel event to be rejected".
    return value if abs(value) <= sys.float_info.max else None


def parse_levels(version: RoomVersion, value: object) -> dict[str, int]:
    """The levels of an object of levels; without what is none."""
    if not isinstance(value, dict):
        return {}
    return {
        key: level
        for key, raw in value.items()
        if (level := parse_level(version, raw)) is not None
    }


def parse_thresholds(
    version: RoomVersion, content: Mapping[str, Any]
) -> dict[str, int]:
    """The levels of the ``THRESHOLDS`` of a content; without what is none."""
    return {
        name: level
        for name in THRESHOLDS
        if (level := parse_level(version, content.get(name))) is not None
    }


def room_creators(version: RoomVersion, create: StateEvent) -> frozenset[str]:
    """The creators of a room, from its create event.

    One user until room version 11, from 12 on also the ``additional_creators``.
    """
    if not version.implicit_creator:
        creator = create.content.get("creator")
        return frozenset({creator}) if isinstance(creator, str) else frozenset()
    if not version.privileged_creators:
        return frozenset({create.sender})
    additional = create.content.get("additional_creators")
    if not isinstance(additional, list):
        return frozenset({create.sender})
    users = (user for user in additional if isinstance(user, str))
    return frozenset({create.sender, *users})


def user_level(
    version: RoomVersion,
    create: StateEvent,
    power_levels: StateEvent | None,
    user_id: str,
) -> int:
    """``PowerLevels.user`` of one user, without reading the levels of all others."""
    if power_levels is None or (
        version.privileged_creators and user_id in room_creators(version, create)
    ):
        return PowerLevels.of(version, create, None).user(user_id)
    content = power_levels.content
    users = content.get("users")
    own = users.get(user_id) if isinstance(users, dict) else None
    level = parse_level(version, own)
    if level is None:
        level = parse_level(version, content.get("users_default"))
    return 0 if level is None else level


def lack_of_power(needed: int, level: int, to_do: str) -> str:
    """What somebody is told who has *level*, which is not enough *to_do* something."""
    return f"you need power level {needed} to {to_do}, and have {level}"


class PowerLevels(Struct, frozen=True):
    """The power levels in force in a room, with every default filled in."""

    # With the creators among them wherever they have a level of their own.
    users: Mapping[str, int]
    events: Mapping[str, int]
    notifications: Mapping[str, int]
    users_default: int = 0
    events_default: int = 0
    state_default: int = 50
    ban: int = 50
    kick: int = 50
    redact: int = 50
    invite: int = 0

    @classmethod
    def of(
        cls,
        version: RoomVersion,
        create: StateEvent,
        power_levels: StateEvent | None,
    ) -> Self:
        """Read the levels of a room from its create and power levels events."""
        creators = room_creators(version, create)
        if power_levels is None:
            level = (
                CREATOR_LEVEL if version.privileged_creators else _INITIAL_CREATOR_LEVEL
            )
            return cls(dict.fromkeys(creators, level), {}, {})
        content = power_levels.content
        users = parse_levels(version, content.get("users"))
        if version.privileged_creators:
            users.update(dict.fromkeys(creators, CREATOR_LEVEL))
        return cls(
            users,
            parse_levels(version, content.get("events")),
            parse_levels(version, content.get("notifications")),
            **parse_thresholds(version, content),
        )

    def user(self, user_id: str) -> int:
        """The level that *user_id* has; ``CREATOR_LEVEL`` for privileged creators."""
        return self.users.get(user_id, self.users_default)

    def event(self, event_type: str, *, is_state: bool) -> int:
        """The level that sending an event of this type takes."""
        level = self.events.get(event_type)
        if level is not None:
            return level
        return self.state_default if is_state else self.events_default

    def notification(self, key: str) -> int:
        """The level that notifying by *key* (``room``) takes; 50 if unspecified."""
        return self.notifications.get(key, 50)

    def can_send(self, user_id: str, event_type: str, *, is_state: bool) -> bool:
        """Whether the level allows to send such events. Memberships have own rules."""
        return self.user(user_id) >= self.event(event_type, is_state=is_state)

    def can_redact(self, user_id: str) -> bool:
        """Whether the level allows to redact the events of others."""
        return self.user(user_id) >= self.redact

    def can_invite(self, user_id: str) -> bool:
        """Whether the level allows to invite."""
        return self.user(user_id) >= self.invite

    def can_kick(self, sender: str, target: str) -> bool:
        """Whether *sender* has the level to kick *target*."""
        level = self.user(sender)
        return level >= self.kick and self.user(target) < level

    def can_ban(self, sender: str, target: str) -> bool:
        """Whether *sender* has the level to ban *target*."""
        level = self.user(sender)
        return level >= self.ban and self.user(target) < level

    def can_unban(self, sender: str, target: str) -> bool:
        """Whether *sender* has the level to lift the ban of *target*.

        RV1 "To unban somebody, you must have power level greater than or equal to
        both the kick *and* ban levels, *and* greater than the target user's".
        """
        return self.user(sender) >= self.ban and self.can_kick(sender, target)
