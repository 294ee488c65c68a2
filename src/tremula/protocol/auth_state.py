"""A room state prepared for authorising many events against it."""

from typing import NamedTuple

from tremula.protocol.power_levels import PowerLevels
from tremula.protocol.room_state import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    StateEvent,
    StateKey,
    StateLookup,
)
from tremula.protocol.room_versions import RoomVersion


class _ParsedLevels(NamedTuple):
    """Power levels, and the very events that they were parsed from."""

    create: StateEvent
    power_levels: StateEvent | None
    levels: PowerLevels


class AuthState:
    """What the rules ask of a room state; parses its power levels once.

    The levels are kept as long as the state returns the same two event objects, so
    that the state below may change, or be exchanged for its successor by
    ``advanced_to``. Anywhere a ``StateLookup`` is taken, this may be given.
    """

    __slots__ = ("_parsed", "_state", "version")

    def __init__(self, version: RoomVersion, state: StateLookup) -> None:
        self.version = version
        self._state = state
        self._parsed: _ParsedLevels | None = None

    def advanced_to(self, state: StateLookup) -> "AuthState":
        """The same room with another state; power levels are parsed anew if changed."""
        successor = AuthState(self.version, state)
        successor._parsed = self._parsed
        return successor

    def get(self, key: StateKey, /) -> StateEvent | None:
        """The event at *key*, or None."""
        return self._state.get(key)

    @property
    def create(self) -> StateEvent | None:
        """The create event."""
        return self._state.get(CREATE)

    @property
    def power_levels(self) -> PowerLevels:
        """The power levels in force. The state must have a create event."""
        create = self._state.get(CREATE)
        event = self._state.get(POWER_LEVELS)
        parsed = self._parsed
        if (
            parsed is not None
            and parsed.power_levels is event
            and parsed.create is create
        ):
            return parsed.levels
        assert create is not None
        levels = PowerLevels.of(self.version, create, event)
        self._parsed = _ParsedLevels(create, event, levels)
        return levels

    @property
    def join_rule(self) -> str | None:
        """The join rule: ``invite`` without one, None if it is not a text."""
        event = self._state.get(JOIN_RULES)
        rule = "invite" if event is None else event.content.get("join_rule", "invite")
        return rule if isinstance(rule, str) else None

    def membership(self, user_id: str) -> str | None:
        """The membership of *user_id*; None for whoever has had none."""
        event = self._state.get(("m.room.member", user_id))
        if event is None:
            return None
        membership = event.content.get("membership")
        return membership if isinstance(membership, str) else None
