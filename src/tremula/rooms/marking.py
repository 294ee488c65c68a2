"""What is stored of an event for those whom it notifies; a feature says what."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from tremula.infra.journal import JournalUnit
from tremula.protocol.power_levels import PowerLevels
from tremula.rooms.staging import Staged
from tremula.rooms.view import RoomView


class Upcoming(Protocol):
    """An event that may come next."""

    @property
    def type(self) -> str:
        """Its type."""
        ...

    @property
    def state_key(self) -> str | None:
        """Its state key, if it is a state event."""
        ...

    @property
    def content(self) -> Mapping[str, Any]:
        """Its content."""
        ...


class Marker(Protocol):
    """Marks events of rooms that this process writes to."""

    async def prepare(self, view: RoomView, upcoming: Sequence[Upcoming]) -> None:
        """Read what it takes to mark these events: nothing, as a rule."""
        ...

    def mark(
        self, unit: JournalUnit, view: RoomView, item: Staged, levels: PowerLevels
    ) -> None:
        """Store with *unit* whom an event in the timeline notifies, sent where *levels*
        held.
        """
        ...


class _NoMarks:
    """Nobody is notified of anything."""

    async def prepare(self, view: RoomView, upcoming: Sequence[Upcoming]) -> None:
        """Nothing has to be read."""

    def mark(
        self, unit: JournalUnit, view: RoomView, item: Staged, levels: PowerLevels
    ) -> None:
        """Nothing is stored."""


NO_MARKS: Final[Marker] = _NoMarks()
