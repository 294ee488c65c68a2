"""The newest part of one journal topic, in memory, within bounds."""

from collections import deque
from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet
from itertools import dropwhile, islice
from typing import Final

ITEMS_MAX: Final = 20_000
BYTES_MAX: Final = 16 * 1024 * 1024
KEYS_MAX: Final = 50_000


class TopicTail:
    """Entries of a topic since ``floor``, by key, and the newest position of each key.

    Entries arrive in rising order of position (see ``Journal``). The oldest are
    dropped first, and the floor rises with them: below it memory knows nothing. The
    same is so of a single key that has been skipped.
    """

    __slots__ = (
        "_answered",
        "_by_key",
        "_changed",
        "_changed_floor",
        "_changed_keys",
        "_log",
        "_size_bytes",
        "_skipped",
        "floor",
        "newest_pos",
    )

    def __init__(self, floor: int) -> None:
        self.floor = floor
        """Entries after this position are all here."""
        self.newest_pos = floor
        """After this position there has been nothing."""
        self._log: deque[tuple[int, Hashable, int]] = deque()
        self._by_key: dict[Hashable, deque[tuple[int, object]]] = {}
        self._changed: dict[Hashable, int] = {}
        self._changed_floor = floor
        # The entries of a key after a position: the last answer.
        self._answered: tuple[Hashable, int, Sequence[tuple[int, object]]] | None = None
        # The keys that changed after a position: the last answer.
        self._changed_keys: tuple[int, AbstractSet[Hashable]] | None = None
        self._size_bytes = 0
        self._skipped: dict[Hashable, int] = {}

    def append(self, pos: int, key: Hashable, payload: object, size_bytes: int) -> None:
        """Add the newest entry and drop what exceeds the bounds.

        One from below the floor is not kept: others may be missing after it.
        """
        if pos <= self.floor:
            return
        self._log.append((pos, key, size_bytes))
        self._size_bytes += size_bytes
        entries = self._by_key.get(key)
        if entries is None:
            entries = self._by_key[key] = deque()
        entries.append((pos, payload))
        self._note_change(key, pos)
        while len(self._log) > ITEMS_MAX or self._size_bytes > BYTES_MAX:
            self._drop_oldest_entry()

    def skip(self, key: Hashable, pos: int) -> None:
        """Know nothing of *key* up to *pos*: not all of it was told."""
        if pos <= self.floor:
            return
        self._by_key.pop(key, None)
        self._skipped.pop(key, None)
        self._skipped[key] = pos
        self._note_change(key, pos)
        if len(self._skipped) > KEYS_MAX:
            oldest = next(iter(self._skipped))
            self.floor = max(self.floor, self._skipped.pop(oldest))

    def changed_pos(self, key: Hashable) -> int:
        """A position that *key* has not changed after: its newest, or the floor."""
        return self._changed.get(key, self._changed_floor)

    def after(self, key: Hashable, pos: int) -> Sequence[tuple[int, object]] | None:
        """Entries of *key* after *pos*, oldest first; None if some were dropped.

        Of many who wait for the same news, the first one pays: a step an entry.
        """
        answered = self._answered
        if answered is not None and answered[1] == pos and answered[0] == key:
            return answered[2]
        if pos < max(self.floor, self._skipped.get(key, self.floor)):
            return None
        newest: list[tuple[int, object]] = []
        for entry in reversed(self._by_key.get(key, ())):
            if entry[0] <= pos:
                break
            newest.append(entry)
        newest.reverse()
        self._answered = (key, pos, newest)
        return newest

    def newest(self, key: Hashable, count: int, *, up_to: int) -> list[object]:
        """The newest payloads of *key* up to *up_to*, oldest first: *count*, or as many
        as are here.

        Between them there are no others: the oldest are dropped first.
        """
        entries = reversed(self._by_key.get(key, ()))
        past = dropwhile(lambda entry: entry[0] > up_to, entries)
        newest = [payload for _, payload in islice(past, count)]
        newest.reverse()
        return newest

    def keys_after(self, pos: int) -> AbstractSet[Hashable] | None:
        """The keys that changed after *pos*; None if some entries were dropped.

        Of many who wait for the same news, the first one pays: a step a key.
        """
        if pos < self.floor or pos < self._changed_floor:
            return None
        known = self._changed_keys
        if known is not None and known[0] == pos:
            return known[1]
        keys: set[Hashable] = set()
        for key in reversed(self._changed):
            if self._changed[key] <= pos:
                break
            keys.add(key)
        self._changed_keys = (pos, keys)
        return keys

    def _note_change(self, key: Hashable, pos: int) -> None:
        self._changed_keys = self._answered = None
        self.newest_pos = max(self.newest_pos, pos)
        # Taken out first so that the dict stays in order of change.
        self._changed.pop(key, None)
        self._changed[key] = pos
        if len(self._changed) > KEYS_MAX:
            self._forget_oldest_change()

    def _forget_oldest_change(self) -> None:
        oldest = next(iter(self._changed))
        self._changed_floor = max(self._changed_floor, self._changed.pop(oldest))

    def _drop_oldest_entry(self) -> None:
        pos, key, size_bytes = self._log.popleft()
        self._size_bytes -= size_bytes
        self.floor = max(self.floor, pos)
        entries = self._by_key.get(key)
        if entries is None or entries[0][0] != pos:
            # It has been skipped.
            return
        entries.popleft()
        if not entries:
            del self._by_key[key]
