"""Room state as the rules see it: events by ``(type, state_key)``."""

from collections.abc import Mapping
from typing import Any, Protocol

StateKey = tuple[str, str]

CREATE: StateKey = ("m.room.create", "")
JOIN_RULES: StateKey = ("m.room.join_rules", "")
POWER_LEVELS: StateKey = ("m.room.power_levels", "")
HISTORY_VISIBILITY: StateKey = ("m.room.history_visibility", "")
SERVER_ACL: StateKey = ("m.room.server_acl", "")


def member_key(user_id: str) -> StateKey:
    """The key of *user_id*'s membership."""
    return ("m.room.member", user_id)


class StateEvent(Protocol):
    """What the rules read of an event of the room state; an ``Event`` is one."""

    @property
    def event_id(self) -> str:
        """The event's ID."""
        ...

    @property
    def type(self) -> str:
        """The event type."""
        ...

    @property
    def state_key(self) -> str | None:
        """The state key; never None in a room state."""
        ...

    @property
    def sender(self) -> str:
        """The user who sent it."""
        ...

    @property
    def content(self) -> Mapping[str, Any]:
        """The content: of any shape whatever, it may come from a hostile server."""
        ...


class StateLookup(Protocol):
    """A room state: a ``dict``, a ``StateMap`` or anything alike."""

    def get(self, key: StateKey, /) -> StateEvent | None:
        """The event at *key*, or None."""
        ...
