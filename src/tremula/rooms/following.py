"""What is made of the events of all rooms after they are stored, such as an index.

Sends don't know of it: one process, the holder of a slot, reads what came since a
stored position, and stores what it makes of it together with the new position. So a
crash loses nothing and repeats nothing. What is new is gathered for some seconds, since
that saves writes; whoever needs it sooner asks for it.
"""

import asyncio
from collections.abc import Hashable, Sequence
from typing import Final, Protocol

import structlog
from msgspec import Struct

from tremula.infra.db import Database, Statements, Unit
from tremula.infra.journal import Journal
from tremula.infra.rereading import reread_on_conflict
from tremula.infra.slots import CallTypes, Slots
from tremula.protocol.errors import MatrixError
from tremula.rooms import following_storage
from tremula.rooms.events import StoredEvent
from tremula.rooms.events_storage import nth_pos_after
from tremula.rooms.following_storage import Progress
from tremula.rooms.staging import EVENT_TOPIC

# Some milliseconds of work, which sends may have to wait for.
EVENTS_AT_ONCE: Final = 100
EVENTS_LOOKED_AT: Final = 500
"""At most, for those. PostgreSQL, as long as it has no statistics, sorts all that it is
asked about: of a new database, or one that was copied, everything each time."""
_GATHERING_S: Final = 5.0
_BATCHES_AT_ONCE: Final = 10
# That nothing is in so few positions is soon seen again, and need not be stored.
_POSITIONS_UNTOLD: Final = 10_000

_log = structlog.get_logger(__name__)


class Batch(Struct, frozen=True):
    """Events: all that there are up to the journal position ``pos``."""

    events: Sequence[StoredEvent]
    pos: int


class Derived(Protocol):
    """What is made of events; ``name`` is also that of the slot."""

    @property
    def name(self) -> str:
        """What the log calls it."""
        ...

    @property
    def version(self) -> int:
        """Of the rules it is made by: with another one it is made anew."""
        ...

    async def read(self, pos: int, *, up_to: int, limit: int) -> Batch:
        """The events that it is made of after *pos*: the first *limit* of them, or all
        up to *up_to*.
        """
        ...

    async def add(self, unit: Unit, events: Sequence[StoredEvent]) -> None:
        """Store what is made of *events*."""
        ...

    def delete_all(self, unit: Unit) -> None:
        """Have nothing made of anything."""
        ...


def batch_of(
    events: Sequence[StoredEvent], positions: Sequence[int], *, up_to: int, limit: int
) -> Batch:
    """The batch of *events* at *positions* that were asked for with *limit*."""
    return Batch(events, positions[-1] if len(events) == limit else up_to)


class CatchUp(Struct, frozen=True):
    """Take in what came up to this journal position, unless that is very much."""

    pos: int


class Follower:
    """Follows the events in the background; ``run`` is meant for the supervisor."""

    def __init__(
        self,
        db: Database,
        journal: Journal,
        slots: Slots,
        derived: Derived,
    ) -> None:
        self._db = db
        self._journal = journal
        self._slots = slots
        self._derived = derived
        self._one_at_a_time = asyncio.Lock()
        self._something_new = asyncio.Event()
        # What came while no process ran.
        self._something_new.set()
        journal.subscribe(EVENT_TOPIC, self._on_event)
        slots.register(derived.name, self._catch_up, CallTypes(CatchUp, None))
        slots.on_taken(lambda _: self._something_new.set())

    async def run(self) -> None:
        """Take in what comes, for ever."""
        while True:
            await self._something_new.wait()
            self._something_new.clear()
            if self._slots.holds(self._derived.name):
                while await self.take_some(self._journal.position):
                    pass
            await asyncio.sleep(_GATHERING_S)

    async def catch_up(self) -> None:
        """Have everything taken in that is visible by now, unless that is very much."""
        pos = self._journal.position
        done = await self._progress()
        if done is not None and done.pos >= pos:
            return
        name = self._derived.name
        try:
            await self._slots.call(name, name, CatchUp(pos))
        except MatrixError as error:
            # Better to answer what is there than nothing.
            _log.info("follower_lags", name=name, reason=error.message)

    async def take_some(self, up_to: int) -> bool:
        """Take in some of what came up to a journal position; whether there is more."""
        async with self._one_at_a_time:
            return await reread_on_conflict(lambda: self._take_some(up_to))

    async def _take_some(self, up_to: int) -> bool:
        derived = self._derived
        seen = await self._progress()
        unit = Statements(lease=self._slots.lease(derived.name))
        if seen is None:
            derived.delete_all(unit)
            following_storage.begin(unit, derived.name, derived.version)
            await self._db.commit(unit)
            return True
        if seen.pos >= up_to:
            return False
        end_pos = await nth_pos_after(self._db, seen.pos, EVENTS_LOOKED_AT) or up_to
        batch = await derived.read(
            seen.pos, up_to=min(up_to, end_pos), limit=EVENTS_AT_ONCE
        )
        is_all = batch.pos >= up_to
        if not batch.events and is_all and batch.pos - seen.pos < _POSITIONS_UNTOLD:
            return False
        following_storage.update_progress(unit, derived.name, seen=seen, pos=batch.pos)
        await derived.add(unit, batch.events)
        await self._db.commit(unit)
        return not is_all

    async def _progress(self) -> Progress | None:
        """How far it is made; None if it has to be made anew."""
        found = await following_storage.find_progress(self._db, self._derived.name)
        return found if found and found.version == self._derived.version else None

    async def _catch_up(self, _key: str, command: CatchUp) -> None:
        await self._journal.settled(command.pos)
        for _ in range(_BATCHES_AT_ONCE):
            if not await self.take_some(command.pos):
                return

    def _on_event(self, _pos: int, _key: Hashable, _payload: object) -> None:
        self._something_new.set()
