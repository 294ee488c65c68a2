"""The events of a server notices room. Pure."""

from typing import Any, Final

from tremula.protocol.identifiers import UserId
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.events import Draft

_ADMIN_LEVEL: Final = 100
_SPEAKING_LEVEL: Final = 50


def notices_room(version: RoomVersion, sender: UserId, name: str) -> list[Draft]:
    """A room in which *sender* speaks, and nobody answers."""

    def state(event_type: str, content: dict[str, Any], key: str = "") -> Draft:
        return Draft(type=event_type, sender=sender, content=content, state_key=key)

    create: dict[str, Any] = {"room_version": version.id, "m.federate": False}
    if not version.implicit_creator:
        create["creator"] = sender
    # Creators of version 12 rank above all levels, and may not be listed.
    users = {} if version.privileged_creators else {sender: _ADMIN_LEVEL}
    levels: dict[str, Any] = {
        "users": users,
        "users_default": 0,
        "events_default": _SPEAKING_LEVEL,
        "state_default": _ADMIN_LEVEL,
        "invite": _ADMIN_LEVEL,
    }
    return [
        state("m.room.create", create),
        state("m.room.member", {"membership": "join", "displayname": name}, sender),
        state("m.room.power_levels", levels),
        state("m.room.join_rules", {"join_rule": "invite"}),
        state("m.room.history_visibility", {"history_visibility": "shared"}),
        state("m.room.guest_access", {"guest_access": "forbidden"}),
        state("m.room.name", {"name": name}),
    ]
