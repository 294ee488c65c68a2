"""Which state of a room, and how much of its timeline, a client asks for (MSC4186)."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import force_setattr

from tremula.protocol.identifiers import UserId
from tremula.protocol.room_state import StateKey
from tremula.rooms.state import MEMBER, StateEvent
from tremula.rooms.view import RoomView

ANY: Final = "*"
ME: Final = "$ME"
LAZY: Final = "$LAZY"

_PAIRS_KEPT_MAX: Final = 300


class RequiredState(Struct, frozen=True):
    """State keys, of which ``*`` stands for any type or any state key.

    A type of ``*`` speaks of all types but members, who have to be named. So the union
    of two asks for what either asks for.
    """

    keys: frozenset[StateKey] = frozenset()
    lazy_members: bool = False
    # Whether there is a `*` in them.
    _has_patterns: bool = False

    def __post_init__(self) -> None:
        force_setattr(self, "_has_patterns", any(ANY in key for key in self.keys))

    @classmethod
    def of(cls, pairs: Iterable[StateKey], user_id: UserId) -> "RequiredState":
        """What *user_id* asks for by pairs of type and state key.

        Where members are to be loaded lazily, ``*`` as a type does not mean them.
        """
        keys = {
            (event_type, user_id if state_key == ME else state_key)
            for event_type, state_key in pairs
        }
        lazy = (MEMBER, LAZY) in keys
        keys = {key for key in keys if key[1] != LAZY}
        if not lazy:
            keys |= {(MEMBER, key[1]) for key in keys if key[0] == ANY}
        return cls(frozenset(keys), lazy)

    def __or__(self, other: "RequiredState") -> "RequiredState":
        if other is self or other == self:
            return self
        return RequiredState(
            self.keys | other.keys, self.lazy_members or other.lazy_members
        )

    def covers(self, other: "RequiredState") -> bool:
        """Whether *other* asks for nothing more, as far as is plain to see."""
        return other is self or (
            other.keys <= self.keys and other.lazy_members <= self.lazy_members
        )

    def admits(self, key: StateKey) -> bool:
        """Whether the event of *key* is asked for."""
        event_type, state_key = key
        keys = self.keys
        if key in keys or (event_type, ANY) in keys:
            return True
        return event_type != MEMBER and ((ANY, state_key) in keys or (ANY, ANY) in keys)

    @property
    def wants_all_members(self) -> bool:
        """Whether each member is asked for."""
        return (MEMBER, ANY) in self.keys

    def select(self, view: RoomView) -> dict[StateKey, StateEvent]:
        """What is asked for of the room's current state: a look-up for each key, unless
        there are patterns.
        """
        state = view.state
        if not self._has_patterns:
            return {key: e for key in self.keys if (e := state.get(key)) is not None}
        found = {key: e for key, e in view.other_state.items() if self.admits(key)}
        if self.wants_all_members:
            members = (each for each in state.values() if each.type == MEMBER)
            return found | {(MEMBER, each.state_key): each for each in members}
        for key in self.keys:
            if key[0] == MEMBER and (member := state.get(key)) is not None:
                found[key] = member
        return found


class RoomConfig(Struct, frozen=True):
    """What a list or a subscription asks for of each of its rooms."""

    timeline_limit: int
    required: RequiredState

    def __or__(self, other: "RoomConfig") -> "RoomConfig":
        """All that either asks for ("Combining room configs")."""
        if other is self or other == self:
            return self
        return RoomConfig(
            max(self.timeline_limit, other.timeline_limit),
            self.required | other.required,
        )

    def kept(
        self, known: "RoomConfig", changed: Iterable[StateKey], *, has_gap: bool
    ) -> "RoomConfig":
        """What the client has of a room that it was sent as *known*, and now news by
        this: where nothing was left out, it still has what it had.
        """
        limit = self.timeline_limit
        if not has_gap:
            limit = max(limit, known.timeline_limit)
        required = self.required
        if not any(
            known.required.admits(key) and not required.admits(key) for key in changed
        ):
            both = known.required | required
            if len(both.keys) <= _PAIRS_KEPT_MAX:
                required = both
        return RoomConfig(limit, required)
