"""A cache that is bounded by what it weighs."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteLRU(Generic[K, V]):
    """Keeps the values used last, up to *size_max_bytes* in sum.

    The caller says what a value weighs. One heavier than an eighth of the bound is not
    kept: it would push out too much.
    """

    __slots__ = ("_entries", "hits", "misses", "size_bytes", "size_max_bytes")

    def __init__(self, size_max_bytes: int) -> None:
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.size_max_bytes = size_max_bytes
        self.size_bytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        """Whether *key* is here; counts neither as hit nor as use."""
        return key in self._entries

    def get(self, key: K) -> V | None:
        """The value of *key*, which becomes the one used last, or None."""
        entry = self._entries.get(key)
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end(key)
        return entry[0]

    def pick(self, keys: Iterable[K]) -> tuple[dict[K, V], list[K]]:
        """As `get` of each of *keys*: the values that are here, and the keys that are
        not, in their order.
        """
        entries, use = self._entries, self._entries.move_to_end
        found: dict[K, V] = {}
        missing: list[K] = []
        for key in keys:
            entry = entries.get(key)
            if entry is None:
                missing.append(key)
            else:
                use(key)
                found[key] = entry[0]
        self.hits += len(found)
        self.misses += len(missing)
        return found, missing

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Keep *value* under *key*, in place of an earlier one."""
        if key in self._entries:
            self.discard(key)
        if size_bytes > self.size_max_bytes // 8:
            return
        self._entries[key] = (value, size_bytes)
        self.size_bytes += size_bytes
        while self.size_bytes > self.size_max_bytes:
            _, (_, dropped_bytes) = self._entries.popitem(last=False)
            self.size_bytes -= dropped_bytes

    def discard(self, key: K) -> None:
        """Forget *key*, if it is here."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size_bytes -= entry[1]

    def clear(self) -> None:
        """Forget everything; the counters stay."""
        self._entries.clear()
        self.size_bytes = 0
