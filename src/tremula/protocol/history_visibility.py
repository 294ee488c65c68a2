"""Who may see which event (CS "Room History Visibility")."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any, Protocol, TypeVar

from tremula.protocol.identifiers import UserId

# ``(room_pos, value)`` of each change of a state key, oldest first.
History = Sequence[tuple[int, str]]

_NO_MEMBERSHIP = "leave"
_POS_MIN = -(2**63)


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


def is_visible(visibility: str, membership: str, *, joined_later: bool) -> bool:
    """Whether a user may see an event sent with this state.

    *membership* is the user's at the event; *joined_later* whether the user joined at
    any point after it.
    """
    if visibility == HistoryVisibility.WORLD_READABLE or membership == "join":
        return True
    if visibility == HistoryVisibility.SHARED:
        return joined_later
    return membership == "invite" and visibility == HistoryVisibility.INVITED


class Placed(Protocol):
    """An event that has its place in a room."""

    @property
    def room_pos(self) -> int:
        """Its position in the order of the room."""
        ...


P = TypeVar("P", bound=Placed)


@dataclass(frozen=True, slots=True)
class Viewer:
    """What one user may see of one room, and what they were at any time.

    Holds the changes of the user's membership and of the history visibility, so that
    an event costs a few bisections, or one comparison after the last change. Before
    the first change the user was not in the room, and its history ``shared``.
    """

    user_id: UserId
    memberships: History
    visibilities: History
    # Since the last change, at `_settled_pos`, all events are alike to the user.
    _settled_pos: int = field(init=False, repr=False, compare=False)
    _membership: str = field(init=False, repr=False, compare=False)
    _can_see: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        changes = [*self.memberships[-1:], *self.visibilities[-1:]]
        settled_pos = max(map(_pos, changes), default=_POS_MIN)
        membership = _value_after(self.memberships, settled_pos, _NO_MEMBERSHIP)
        object.__setattr__(self, "_settled_pos", settled_pos)
        object.__setattr__(self, "_membership", membership)
        can_see = membership == "join" or self._can_see_at(settled_pos + 1)
        object.__setattr__(self, "_can_see", can_see)

    def membership_at(self, event: Placed) -> str:
        """The user's membership at *event*, including what it changed itself."""
        if event.room_pos > self._settled_pos:
            return self._membership
        return _value_after(self.memberships, event.room_pos, _NO_MEMBERSHIP)

    @property
    def was_ever_joined(self) -> bool:
        """Whether the user is or was joined at any time."""
        return any(value == "join" for _, value in self.memberships)

    def can_see(self, event: Placed) -> bool:
        """Whether the state at *event* lets the user see it.

        Most events change neither value, so that before and after are the same. Of
        changes of the visibility and of the user's own membership the specification
        asks for both: "if the history_visibility before *or* after the event would
        allow them to see it".
        """
        if event.room_pos > self._settled_pos:
            return self._can_see
        return self._can_see_at(event.room_pos)

    def visible(self, events: Iterable[P]) -> list[P]:
        """Those of *events* that the user can see; each costs a comparison."""
        settled_pos, can_see = self._settled_pos, self._can_see
        return [
            event
            for event in events
            if (
                can_see
                if event.room_pos > settled_pos
                else self._can_see_at(event.room_pos)
            )
        ]

    def sees_all_after(self, pos: int) -> bool:
        """Whether the user may see each event after *pos*."""
        return self._can_see and pos >= self._settled_pos

    def until(self, pos: int) -> "Viewer":
        """The viewer that the user would be had nothing changed after *pos*."""
        return Viewer(
            self.user_id,
            _until(self.memberships, pos),
            _until(self.visibilities, pos),
        )

    def narrow(self, span: tuple[int, int]) -> tuple[int, int]:
        """The positions *span* without ends in which the user can see nothing.

        Between what is left there may be more that they can't see.
        """
        first, last = span
        changes = {_pos(each) for each in (*self.memberships, *self.visibilities)}
        within = sorted(pos for pos in changes if first <= pos <= last)
        visible: list[int] = []
        for start, end in pairwise([first, *within, last]):
            if self._can_see_at(start):
                visible.append(start)
            # What holds just after a change holds up to the next one.
            if self._can_see_at(start + 1):
                visible += (start, end)
        if not visible:
            return last, last
        return visible[0], visible[-1]

    def _can_see_at(self, pos: int) -> bool:
        joined_later = self._joined_after(pos)
        shared = HistoryVisibility.SHARED
        return is_visible(
            _value_before(self.visibilities, pos, shared),
            _value_before(self.memberships, pos, _NO_MEMBERSHIP),
            joined_later=joined_later,
        ) or is_visible(
            _value_after(self.visibilities, pos, shared),
            _value_after(self.memberships, pos, _NO_MEMBERSHIP),
            joined_later=joined_later,
        )

    def _joined_after(self, pos: int) -> bool:
        # From the newest on: whoever joined later mostly is joined still.
        for at, membership in reversed(self.memberships):
            if at <= pos:
                return False
            if membership == "join":
                return True
        return False


def _until(history: History, pos: int) -> History:
    return history[: bisect_right(history, pos, key=_pos)]


def _pos(change: tuple[int, str]) -> int:
    return change[0]


def _value_before(history: History, pos: int, initial: str) -> str:
    index = bisect_left(history, pos, key=_pos)
    return history[index - 1][1] if index else initial


def _value_after(history: History, pos: int, initial: str) -> str:
    if not history or pos < history[0][0]:
        return initial
    return history[bisect_right(history, pos, key=_pos) - 1][1]
