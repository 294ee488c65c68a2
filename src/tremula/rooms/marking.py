"""What is stored of an event for those who are to be told of it; features say what."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, field

from tremula.infra.journal import JournalUnit
from tremula.rooms.events import StoredEvent
from tremula.rooms.staging import Staged, StateAround
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
        self, unit: JournalUnit, view: RoomView, item: Staged, around: StateAround
    ) -> None:
        """Store with *unit* who is to be told of an event in the timeline."""
        ...

    def unmark(self, unit: JournalUnit, target: StoredEvent, *, pos: int) -> None:
        """Forget with *unit*, at the position *pos*, who was told of *target*.

        It leaves the timeline, or an event from the past, which is not marked, has
        redacted it.
        """
        ...


class Markers(Struct):
    """All markers, one after the other; those that are added mark what comes then."""

    _markers: list[Marker] = field(default_factory=list[Marker])

    def add(self, marker: Marker) -> None:
        """Have *marker* mark the events of all rooms from now on."""
        self._markers.append(marker)

    async def prepare(self, view: RoomView, upcoming: Sequence[Upcoming]) -> None:
        """Have all markers prepare."""
        for marker in self._markers:
            await marker.prepare(view, upcoming)

    def mark(
        self, unit: JournalUnit, view: RoomView, item: Staged, around: StateAround
    ) -> None:
        """Have all markers mark *item*."""
        for marker in self._markers:
            marker.mark(unit, view, item, around)

    def unmark(self, unit: JournalUnit, target: StoredEvent, *, pos: int) -> None:
        """Have all markers forget *target*."""
        for marker in self._markers:
            marker.unmark(unit, target, pos=pos)
