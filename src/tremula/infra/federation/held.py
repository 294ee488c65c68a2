"""Which destinations a process sends to, and what it knows of them."""

from collections.abc import Collection, Iterable

from tremula.infra.slots import SLOTS, Slots, slot_of
from tremula.protocol.identifiers import ServerName


class HeldDestinations:
    """Those whose slots are held here.

    What is to be sent to them is announced to all processes. So whoever takes a slot
    reads what is left over, up to the position that it *covers*, and knows the rest:
    nothing is left out and nothing comes twice.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._unread: set[int] = set()
        self._reading: set[int] = set()
        # What a process has from its beginning covers nothing.
        self._covered_pos: dict[int, int] = {}
        self._newest_covered_pos = 0

    def holds(self, name: ServerName) -> bool:
        """Whether this process sends to a destination."""
        return self._slots.holds(name)

    def is_read(self, name: ServerName) -> bool:
        """Whether it is known what was left over for a destination."""
        if not (self._unread or self._reading):
            return True
        slot = slot_of(name)
        return slot not in self._unread and slot not in self._reading

    def covers(self, name: ServerName, pos: int) -> bool:
        """Whether the event at *pos* was read, if it was still to be sent."""
        return pos <= self._newest_covered_pos and (
            pos <= self._covered_pos.get(slot_of(name), 0)
        )

    @property
    def is_any_unread(self) -> bool:
        """Whether there is anything to be read."""
        return bool(self._unread)

    def taken(self, slots: Iterable[int]) -> None:
        """They are held here from now on."""
        self._unread.update(slots)

    def gone(self, slots: Collection[int]) -> None:
        """They are held here no more."""
        self._unread.difference_update(slots)

    def read_all(self) -> None:
        """Have all read, be it again."""
        self._unread.update(range(SLOTS))

    def begin_reading(self) -> Collection[int]:
        """The slots of which is to be read what is left over."""
        self._reading, self._unread = self._unread, set()
        return self._reading

    def end_reading(self, *, covered_pos: int) -> None:
        """All that was to be sent up to *covered_pos* has been found."""
        self._newest_covered_pos = max(self._newest_covered_pos, covered_pos)
        for slot in self._reading:
            self._covered_pos[slot] = covered_pos
        self._reading = set()
