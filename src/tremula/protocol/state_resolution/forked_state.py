"""The states to be resolved, divided into what they agree on and what not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, Self

from msgspec import Struct

from tremula.protocol.room_state import StateKey


class StateNids(Protocol):
    """A room state by numbers of events: a ``dict`` or anything alike."""

    def get(self, key: StateKey, /) -> int | None:
        """The event at *key*, or None."""
        ...

    def values(self) -> Iterable[int]:
        """All events, in any order."""
        ...


class ForkedState(Struct, frozen=True):
    """RV2 "Unconflicted state map and conflicted state set", of two states or more.

    The unconflicted map is never made: it is one of the states, less the conflicted
    keys.
    """

    _one_of_them: StateNids
    keys: frozenset[StateKey]  # the conflicted ones
    conflicted: tuple[Mapping[StateKey, int], ...]  # one a state: what it has at keys

    @classmethod
    def of(cls, states: Sequence[StateNids], keys: Iterable[StateKey]) -> Self:
        """Compare *states* at *keys*: at least all those at which they differ."""
        conflicted: list[dict[StateKey, int]] = [{} for _ in states]
        differing: list[StateKey] = []
        for key in keys:
            nids = [state.get(key) for state in states]
            # "If a given key K is present in every S_i with the same value V".
            if nids.count(nids[0]) == len(nids):
                continue
            differing.append(key)
            for entries, nid in zip(conflicted, nids, strict=True):
                if nid is not None:
                    entries[key] = nid
        return cls(states[0], frozenset(differing), tuple(conflicted))

    def unconflicted(self, key: StateKey) -> int | None:
        """The event that all states have at *key*, if they agree on one."""
        return None if key in self.keys else self._one_of_them.get(key)

    def unconflicted_nids(self) -> Iterator[int]:
        """All events of the unconflicted state map: as many as the room holds."""
        conflicted = frozenset(self.conflicted[0].values())
        return (nid for nid in self._one_of_them.values() if nid not in conflicted)

    def conflicted_nids(self) -> set[int]:
        """The conflicted state set."""
        return {nid for entries in self.conflicted for nid in entries.values()}
