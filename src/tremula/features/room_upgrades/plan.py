"""What an upgraded room takes over from the old one, and leaves it with. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from tremula.protocol.identifiers import EventId, UserId
from tremula.protocol.power_levels import (
    CREATOR_LEVEL,
    THRESHOLDS,
    parse_level,
    parse_levels,
)
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.events import Draft
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView

POWER_LEVELS: Final = "m.room.power_levels"
TOMBSTONE: Final = "m.room.tombstone"

# CS "Room Upgrades": "the recommended state events to transfer", and the canonical
# alias, as its aliases are moved. The power levels come first.
TRANSFERRED: Final = (
    "m.room.server_acl",
    "m.room.encryption",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.canonical_alias",
)

MADE_WITH: Final = 3
"""How many of a successor's first events any room needs: the rest is transferred."""

_SPACE_TYPES: Final = frozenset({"m.space.child", "m.space.parent"})

_ADMIN_LEVEL: Final = 100
# Of no use to anyone but creators, whose level is above all (as in CS createRoom).
_CREATORS_TOMBSTONE_LEVEL: Final = 150

# What those who could speak until now lack from now on (CS "Room Upgrades").
_SILENCING_LEVEL: Final = 50


class Upgrade(Struct, frozen=True):
    """The upgrade of *old* by *creator*, whose member event shows *fields*.

    ``last_event_id`` is the newest event of the old room.
    """

    old: RoomView
    version: RoomVersion
    creator: UserId
    fields: Mapping[str, Any]
    additional_creators: tuple[UserId, ...]
    last_event_id: EventId


class Successor(Struct, frozen=True):
    """The events of a room that replaces another: it is made with ``first``, gets what
    is ``carried`` over, which may be much, and then the power levels that ``last``.
    """

    first: list[Draft]
    carried: list[Draft]
    last: list[Draft]


def successor_events(upgrade: Upgrade) -> Successor:
    """The events of the room that replaces the old one."""
    creator, old = upgrade.creator, upgrade.old

    def state(event_type: str, content: dict[str, Any], key: str = "") -> Draft:
        return Draft(type=event_type, sender=creator, content=content, state_key=key)

    member = {"membership": "join", **upgrade.fields}
    final = _power_levels_content(upgrade)
    initial = _with_creator_in_power(upgrade, final)
    events = [
        state("m.room.create", create_content(upgrade)),
        state("m.room.member", member, creator),
        state(POWER_LEVELS, initial),
    ]
    for event_type in TRANSFERRED:
        content = old.content_of(event_type)
        if content is not None:
            events.append(state(event_type, content))
    carried = [state(*each) for each in (*_tree(old), *_bans(old))]
    last = [] if final == initial else [state(POWER_LEVELS, final)]
    return Successor(events, carried, last)


def _bans(old: RoomView) -> list[tuple[str, dict[str, Any], str]]:
    return [
        (MEMBER, {"membership": "ban"}, event.state_key)
        for event in old.state.values()
        if event.type == MEMBER and event.content["membership"] == "ban"
    ]


def _tree(old: RoomView) -> list[tuple[str, dict[str, Any], str]]:
    """The rooms of a space, and the spaces that a room is of."""
    return [
        (event.type, dict(event.content), event.state_key)
        for event in old.state.values()
        if event.type in _SPACE_TYPES and event.content
    ]


def silenced_content(old: RoomView) -> dict[str, Any]:
    """The power levels that keep ordinary users from going on in the old room."""
    levels = old.power_levels
    content = dict(old.content_of(POWER_LEVELS) or {})
    least = max(_SILENCING_LEVEL, levels.users_default + 1)
    content["events_default"] = max(levels.events_default, least)
    content["invite"] = max(levels.invite, least)
    return content


def create_content(upgrade: Upgrade) -> dict[str, Any]:
    """The content of the successor's ``m.room.create``."""
    old_content, version = upgrade.old.create.content, upgrade.version
    content: dict[str, Any] = {
        key: old_content[key] for key in ("type", "m.federate") if key in old_content
    }
    content["room_version"] = version.id
    content["predecessor"] = {
        "room_id": upgrade.old.room_id,
        "event_id": upgrade.last_event_id,
    }
    if not version.implicit_creator:
        content["creator"] = upgrade.creator
    if version.privileged_creators and upgrade.additional_creators:
        content["additional_creators"] = list(upgrade.additional_creators)
    return content


def _power_levels_content(upgrade: Upgrade) -> dict[str, Any]:
    """The old room's power levels as the new version understands them."""
    old, version = upgrade.old, upgrade.version
    before = old.content_of(POWER_LEVELS) or {}
    content: dict[str, Any] = dict(before)
    for key in ("users", "events", "notifications"):
        if key in before:
            # From version 10 on levels are integers and nothing else.
            content[key] = parse_levels(old.version, before[key])
    for key in THRESHOLDS:
        if key in before:
            level = parse_level(old.version, before[key])
            content.pop(key) if level is None else content.update({key: level})
    content["users"] = _users(upgrade)
    if version.privileged_creators:
        content["events"] = _with_creators_tombstone(old, content.get("events", {}))
    return content


def _users(upgrade: Upgrade) -> dict[str, int]:
    levels = dict(upgrade.old.power_levels.users)
    if upgrade.version.privileged_creators:
        # Creators rank above all levels and may not be listed (RV12).
        for creator in (upgrade.creator, *upgrade.additional_creators):
            levels.pop(creator, None)
    # Creators of the old room who are none of the new one become its admins.
    return {
        user_id: _ADMIN_LEVEL if level == CREATOR_LEVEL else level
        for user_id, level in levels.items()
    }


def _with_creators_tombstone(
    old: RoomView, events: Mapping[str, int]
) -> dict[str, int]:
    # CS createRoom: it "MUST explicitly be higher than `state_default`".
    level = events.get(TOMBSTONE, 0)
    if level > old.power_levels.state_default:
        return dict(events)
    least = max(_CREATORS_TOMBSTONE_LEVEL, old.power_levels.state_default + 1)
    return {**events, TOMBSTONE: least}


def _with_creator_in_power(
    upgrade: Upgrade, content: Mapping[str, Any]
) -> dict[str, Any]:
    """Levels with which the creator can set up the room."""
    levels, creator = upgrade.old.power_levels, upgrade.creator
    if upgrade.version.privileged_creators:
        return dict(content)
    users = content["users"]
    needed = max(_ADMIN_LEVEL, levels.state_default, *levels.events.values(), 0)
    if users.get(creator, levels.users_default) >= needed:
        return dict(content)
    return {**content, "users": {**users, creator: needed}}
