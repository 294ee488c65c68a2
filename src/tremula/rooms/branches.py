"""States of a room at any event, as what they differ in from the current one."""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from msgspec import Struct

from tremula.infra.db import Reader
from tremula.protocol.room_state import StateKey
from tremula.rooms import graph_storage
from tremula.rooms.graph import LIVE_BRANCH, Place
from tremula.rooms.state import StateMap

BASES_MAX: Final = 8
"""A branch based on more than these, one on the other, is based on the live one."""


class StateAt(Struct, frozen=True):
    """A state by numbers of events: the current one but for *changes*; 0: no event."""

    current: StateMap
    changes: Mapping[StateKey, int]

    @classmethod
    def of(cls, current: StateMap, changes: Mapping[StateKey, int]) -> "StateAt":
        """The state with *changes*, some of which may change nothing."""
        state = cls(current, {})
        real = {key: nid for key, nid in changes.items() if state.get(key) != nid}
        return cls(current, {k: n for k, n in real.items() if n or k in current})

    def get(self, key: StateKey, /) -> int | None:
        """The event at *key*, or None."""
        nid = self.changes.get(key)
        if nid is not None:
            return nid or None
        event = self.current.get(key)
        return event.event_nid if event else None

    def values(self) -> Iterator[int]:
        """All events; walks through the whole state."""
        for event in self.current.values():
            if (event.type, event.state_key) not in self.changes:
                yield event.event_nid
        yield from filter(None, self.changes.values())

    def entries(self) -> dict[StateKey, int]:
        """All events by key; walks through the whole state."""
        current = {
            (event.type, event.state_key): event.event_nid
            for event in self.current.values()
        }
        return {key: nid for key, nid in (current | dict(self.changes)).items() if nid}

    def with_event(self, key: StateKey, nid: int) -> "StateAt":
        """This state with another event at *key*; 0 for none."""
        return StateAt.of(self.current, {**self.changes, key: nid})

    def difference(self, other: "StateAt") -> dict[StateKey, int]:
        """What has to change in *other* to make it this state."""
        keys = self.changes.keys() | other.changes.keys()
        return {
            key: self.get(key) or 0 for key in keys if self.get(key) != other.get(key)
        }


class Branches(Struct, frozen=True):
    """Reads states; nothing of their room may be on its way to the disk."""

    db: Reader

    async def states_at(
        self,
        room_nid: int,
        places: Collection[Place],
        *,
        current: StateMap,
        room_pos: int,
    ) -> dict[Place, StateAt]:
        """The states at *places*; *current* is that of the live branch at *room_pos*.

        Costs what changed between, and nothing for the current state itself.
        """
        return {
            place: StateAt.of(current, await self._changes(room_nid, place, room_pos))
            for place in places
        }

    async def _changes(
        self, room_nid: int, place: Place, room_pos: int
    ) -> dict[StateKey, int]:
        bases = [place]
        if place.branch != LIVE_BRANCH:
            bases = await graph_storage.bases_of(self.db, room_nid, place)
        *branches, live = bases
        changes: dict[StateKey, int] = {}
        if live.pos < room_pos:
            changes.update(
                await graph_storage.live_state_before_changes(
                    self.db, room_nid, pos=live.pos
                )
            )
        for base in reversed(branches):
            changes.update(await graph_storage.branch_changes(self.db, room_nid, base))
        return changes

    async def can_continue(self, room_nid: int, place: Place) -> bool:
        """Whether *place* is the end of a branch that is not the live one."""
        if place.branch == LIVE_BRANCH:
            return False
        newest = await graph_storage.newest_branch_pos(self.db, room_nid, place.branch)
        return newest <= place.pos

    async def can_be_base(self, room_nid: int, place: Place) -> bool:
        """Whether a branch based on *place* would not be based on too many."""
        bases = await graph_storage.bases_of(self.db, room_nid, place)
        return len(bases) <= BASES_MAX
