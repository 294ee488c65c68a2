"""The events of a new room, in the order of CS createRoom. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.protocol.identifiers import RoomAlias, UserId
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.events import Draft

ADMIN_LEVEL: Final = 100
MODERATOR_LEVEL: Final = 50

# Above the level of everyone but the creators: CS createRoom wants it explicitly
# higher than state_default where creators rank above all levels.
CREATORS_TOMBSTONE_LEVEL: Final = 150


class Preset(StrEnum):
    """``preset`` of CS createRoom."""

    PRIVATE_CHAT = "private_chat"
    TRUSTED_PRIVATE_CHAT = "trusted_private_chat"
    PUBLIC_CHAT = "public_chat"


class PresetState(Struct, frozen=True):
    """What a preset sets. ``invite_level`` is what an invitation takes."""

    join_rule: str
    history_visibility: str
    guest_access: str
    invite_level: int


PRESETS: Final[Mapping[Preset, PresetState]] = {
    Preset.PRIVATE_CHAT: PresetState("invite", "shared", "can_join", 0),
    Preset.TRUSTED_PRIVATE_CHAT: PresetState("invite", "shared", "can_join", 0),
    Preset.PUBLIC_CHAT: PresetState("public", "shared", "forbidden", MODERATOR_LEVEL),
}


class Member(Struct, frozen=True):
    """A user and the profile fields that their member event shows."""

    user_id: UserId
    fields: Mapping[str, Any]


class InitialState(Struct, frozen=True):
    """An entry of ``initial_state``."""

    type: str
    state_key: str
    content: dict[str, Any]


class RoomPlan(Struct, frozen=True, kw_only=True):
    """What a user wants a new room to be, checked and with its defaults in place.

    ``invitees`` and ``joined`` are distinct users; the latter come in without being
    asked. ``alias`` becomes the canonical alias; what has no ``ts_ms`` happens now.
    """

    creator: Member
    version: RoomVersion
    preset: Preset
    invitees: Sequence[Member] = ()
    joined: Sequence[Member] = ()
    is_direct: bool = False
    creation_content: Mapping[str, Any] | None = None
    power_levels_override: Mapping[str, Any] | None = None
    initial_state: Sequence[InitialState] = ()
    alias: RoomAlias | None = None
    name: str | None = None
    topic: str | None = None
    ts_ms: int | None = None

    @property
    def federates(self) -> bool:
        """Whether users of other servers may ever take part."""
        return (self.creation_content or {}).get("m.federate") is not False


def plan_events(plan: RoomPlan) -> list[Draft]:
    """The events of the room, the ``m.room.create`` first."""
    creator = plan.creator
    events = [
        _state(plan, "m.room.create", _create_content(plan)),
        _member(creator, "join", sender=creator.user_id),
        _state(plan, "m.room.power_levels", _power_levels_content(plan)),
    ]
    if plan.alias is not None:
        events.append(_state(plan, "m.room.canonical_alias", {"alias": plan.alias}))
    events += _last_of_each_key(
        (*_preset_events(plan), *_initial_events(plan), *_description_events(plan))
    )
    invite_extra = {"is_direct": True} if plan.is_direct else {}
    events += [
        _member(invitee, "invite", sender=creator.user_id, **invite_extra)
        for invitee in plan.invitees
    ]
    events += _joins(plan)
    if plan.ts_ms is None:
        return events
    return [replace(event, origin_server_ts=plan.ts_ms) for event in events]


def _joins(plan: RoomPlan) -> Iterable[Draft]:
    for member in plan.joined:
        join = _member(member, "join", sender=member.user_id)
        if plan.federates:
            yield _member(member, "invite", sender=plan.creator.user_id)
            yield join
        else:
            yield replace(join, is_forced=True)


def _create_content(plan: RoomPlan) -> dict[str, Any]:
    content = dict(plan.creation_content or {})
    content.pop("creator", None)
    content["room_version"] = plan.version.id
    if not plan.version.implicit_creator:
        content["creator"] = plan.creator.user_id
    trusts_invitees = plan.preset is Preset.TRUSTED_PRIVATE_CHAT
    trusted = (*plan.invitees, *plan.joined)
    if plan.version.privileged_creators and trusts_invitees and trusted:
        given = content.get("additional_creators", [])
        invited = (each.user_id for each in trusted)
        content["additional_creators"] = list(dict.fromkeys((*given, *invited)))
    return content


def _power_levels_content(plan: RoomPlan) -> dict[str, Any]:
    content: dict[str, Any] = {
        "users": _user_levels(plan),
        "users_default": 0,
        "events": {
            "m.room.avatar": MODERATOR_LEVEL,
            "m.room.canonical_alias": MODERATOR_LEVEL,
            "m.room.encryption": ADMIN_LEVEL,
            "m.room.history_visibility": ADMIN_LEVEL,
            "m.room.name": MODERATOR_LEVEL,
            "m.room.power_levels": ADMIN_LEVEL,
            "m.room.server_acl": ADMIN_LEVEL,
            "m.room.tombstone": (
                CREATORS_TOMBSTONE_LEVEL
                if plan.version.privileged_creators
                else ADMIN_LEVEL
            ),
        },
        "events_default": 0,
        "state_default": MODERATOR_LEVEL,
        "ban": MODERATOR_LEVEL,
        "kick": MODERATOR_LEVEL,
        "redact": MODERATOR_LEVEL,
        "invite": PRESETS[plan.preset].invite_level,
    }
    content.update(plan.power_levels_override or {})
    return content


def _user_levels(plan: RoomPlan) -> dict[str, int]:
    if plan.version.privileged_creators:
        # Creators rank above all levels and may not be listed (RV12).
        return {}
    users = {str(plan.creator.user_id): ADMIN_LEVEL}
    if plan.preset is Preset.TRUSTED_PRIVATE_CHAT:
        trusted = (*plan.invitees, *plan.joined)
        users |= dict.fromkeys((m.user_id for m in trusted), ADMIN_LEVEL)
    return users


def _preset_events(plan: RoomPlan) -> Iterable[Draft]:
    preset = PRESETS[plan.preset]
    yield _state(plan, "m.room.join_rules", {"join_rule": preset.join_rule})
    yield _state(
        plan,
        "m.room.history_visibility",
        {"history_visibility": preset.history_visibility},
    )
    yield _state(plan, "m.room.guest_access", {"guest_access": preset.guest_access})


def _initial_events(plan: RoomPlan) -> Iterable[Draft]:
    for entry in plan.initial_state:
        yield _state(plan, entry.type, entry.content, state_key=entry.state_key)


def _description_events(plan: RoomPlan) -> Iterable[Draft]:
    if plan.name is not None:
        yield _state(plan, "m.room.name", {"name": plan.name})
    if plan.topic is not None:
        # Without a mimetype, an `m.text` is text/plain.
        text = {"m.text": [{"body": plan.topic}]}
        yield _state(plan, "m.room.topic", {"topic": plan.topic, "m.topic": text})


def _last_of_each_key(drafts: Sequence[Draft]) -> list[Draft]:
    """Without what a later one of *drafts* overrides anyway."""
    last = {(draft.type, draft.state_key): draft for draft in drafts}
    return [d for d in drafts if last[d.type, d.state_key] is d]


def _state(
    plan: RoomPlan, event_type: str, content: dict[str, Any], *, state_key: str = ""
) -> Draft:
    return Draft(
        type=event_type,
        sender=plan.creator.user_id,
        content=content,
        state_key=state_key,
    )


def _member(member: Member, membership: str, *, sender: UserId, **extra: bool) -> Draft:
    return Draft(
        type="m.room.member",
        sender=sender,
        content={"membership": membership, **member.fields, **extra},
        state_key=member.user_id,
    )
