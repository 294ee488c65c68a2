"""Who may see which event (CS "Room History Visibility")."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Generic, TypeVar

_Value = TypeVar("_Value")


class HistoryVisibility(StrEnum):
    """Whom events are shown to that are sent while this is the room's setting."""

    WORLD_READABLE = "world_readable"
    SHARED = "shared"
    INVITED = "invited"
    JOINED = "joined"

    @classmethod
    def of(cls, content: Mapping[str, Any] | None) -> "HistoryVisibility":
        """The setting in the content of an ``m.room.history_visibility``.

        "By default if no history_visibility is set, or if the value is not
        understood, the visibility is assumed to be shared."
        """
        value = None if content is None else content.get("history_visibility")
        for setting in cls:
            if setting == value:
                return setting
        return cls.SHARED


def may_see(
    visibility: HistoryVisibility, membership: str | None, *, joined_later: bool
) -> bool:
    """Whether a user may see an event sent with this state.

    *membership* is the user's at the event; *joined_later* whether the user joined at
    any point after it. Of an event that changes one of the two, ask for the state
    before it and for the one after: either suffices.
    """
    if visibility is HistoryVisibility.WORLD_READABLE or membership == "join":
        return True
    if visibility is HistoryVisibility.SHARED:
        return joined_later
    return membership == "invite" and visibility is HistoryVisibility.INVITED


class Changes(Generic[_Value]):
    """What a value of the room state was at any position in the room."""

    __slots__ = ("_positions", "_values")

    def __init__(
        self, initial: _Value, changes: Iterable[tuple[int, _Value]] = ()
    ) -> None:
        """*changes* are ``(room_pos, value)``, positions ascending.

        *initial* held before the first of them.
        """
        ordered = list(changes)
        self._positions = [pos for pos, _ in ordered]
        self._values = [initial, *(value for _, value in ordered)]

    def before(self, pos: int) -> _Value:
        """The value in the state before the event at *pos*."""
        return self._values[bisect_left(self._positions, pos)]

    def after(self, pos: int) -> _Value:
        """The value in the state after the event at *pos*."""
        return self._values[bisect_right(self._positions, pos)]

    def last_pos_of(self, value: _Value) -> int | None:
        """Where the value was last set to *value*, or None."""
        for index in range(len(self._positions) - 1, -1, -1):
            if self._values[index + 1] == value:
                return self._positions[index]
        return None


class Viewer:
    """One user's view of one room's history."""

    __slots__ = ("_last_join_pos", "_membership", "_visibility")

    def __init__(
        self,
        visibility: Changes[HistoryVisibility],
        membership: Changes[str | None],
    ) -> None:
        self._visibility = visibility
        self._membership = membership
        self._last_join_pos = membership.last_pos_of("join")

    def may_see(self, room_pos: int) -> bool:
        """Whether the user may see the event at *room_pos*.

        Most events change neither value, so that before and after are the same. Of
        changes of the visibility and of the user's own membership the specification
        asks for both: "if the history_visibility before *or* after the event would
        allow them to see it".
        """
        last_join = self._last_join_pos
        joined_later = last_join is not None and last_join > room_pos
        visibility, membership = self._visibility, self._membership
        return may_see(
            visibility.before(room_pos),
            membership.before(room_pos),
            joined_later=joined_later,
        ) or may_see(
            visibility.after(room_pos),
            membership.after(room_pos),
            joined_later=joined_later,
        )
