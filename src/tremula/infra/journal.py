"""The journal: one order of everything that happens, for every stream.

Events, receipts, typing, presence, account data, device lists …: all take positions
from one counter, so that a sync token is one number. What a unit announces
appears in strict order of position, at the moment from which ``Journal.position``
covers it and never before.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Hashable
from collections.abc import Set as AbstractSet
from functools import partial
from operator import itemgetter
from typing import Final

from tremula.infra.db import (
    Database,
    DatabaseUnavailable,
)
from tremula.infra.journal_unit import (
    DEFAULT_PAYLOAD_BYTES,
    SETTLED,
    JournalUnit,
    Stage,
    answer,
    as_own_unit,
    call_each,
    run_hooks,
)
from tremula.infra.notifier import Notifier, Users
from tremula.infra.other_writers import OtherWriters
from tremula.infra.positions import Positions
from tremula.infra.replication.messages import Woken
from tremula.infra.replication.replica import Replica
from tremula.infra.replication.units import Announcement
from tremula.infra.tails import Tails
from tremula.protocol.identifiers import UserId

__all__ = [
    "DEFAULT_PAYLOAD_BYTES",
    "Adapter",
    "Audience",
    "Journal",
    "JournalUnit",
    "Subscriber",
]

Audience = Callable[[AbstractSet[int] | None], Users]
"""Those of our users who are in one of some rooms (None: anybody)."""

Subscriber = Callable[[int, Hashable, object], None]
"""Called with ``(pos, key, payload)``."""

Adapter = Callable[[int, Hashable, object], object]
"""Called with the same; returns the payload that everybody else gets."""

_POS: Final = 3
"""Where an `Announcement` has its position."""


class Journal:
    """Takes units, makes them durable, and tells everyone in order.

    With a ``replica`` there are other writers, in other processes: then what they
    announce is told here as well, all in one order.
    Measured on two cores: a unit with one position, one announcement and one wake
    costs 10 µs beside its statements.
    """

    def __init__(
        self, database: Database, positions: Positions, replica: Replica | None = None
    ) -> None:
        self._database = database
        self._positions = positions
        self._replica = replica
        self.is_alone = replica is None
        """Whether there are no other processes."""
        self._others = None if replica is None else OtherWriters(replica)
        self._audience: Audience | None = None
        self._adapters: dict[str, Adapter] = {}
        self._forgetters: list[Callable[[], None]] = []
        self._in_flight: deque[JournalUnit] = deque()
        self._open: list[JournalUnit] = []
        self._publishing = False
        self._subscribers: dict[str, list[Subscriber]] = {}
        self.position = positions.last
        """Everything up to here is committed and visible."""
        self._tails = Tails(positions.last)
        self.changed_pos = self._tails.changed_pos
        self.tail = self._tails.after
        self.skip = self._tails.skip
        self.newest = self._tails.newest
        self.changed_keys = self._tails.changed_keys
        self.heard = self._tails.heard
        self._notifier = Notifier(self.position)
        self.was_woken = self._notifier.was_woken
        self.wait = self._notifier.wait
        if replica is not None:
            replica.start(self)

    @classmethod
    async def open(cls, database: Database) -> "Journal":
        """The journal of a process alone, above every position ever handed out."""
        return cls(database, await Positions.open(database))

    # Writing

    def unit(self) -> JournalUnit:
        """A new, empty unit."""
        return JournalUnit(self.take_pos)

    def commit(self, unit: JournalUnit) -> asyncio.Future[None]:
        """Store *unit*, and announce it. When that is awaited ``position`` covers it.

        Several units may be under way, which are stored in the order of these calls.
        Cancelling the future does not stop the unit.

        Raises:
            Conflict: a constraint refused it; nothing of it was stored.
            InvalidValue: a parameter can't be stored.
            DatabaseUnavailable: the engine can't be reached; nothing was stored. Or
                the other writers can't be: then it may be stored.
        """
        assert unit.stage is Stage.COLLECTING, f"the unit is {unit.stage.name}"
        future = unit.future = asyncio.get_running_loop().create_future()

        def settled(error: Exception | None) -> None:
            unit.stage = Stage.STORED if error is None else Stage.FAILED
            unit.error = error
            # Cut, or every unit would hold the whole line before it.
            unit.predecessor = None
            if unit.first_pos is None:
                self._finish([unit])
            else:
                self._publish()

        if self._others is not None and unit.first_pos is not None:
            self._others.keep(future)
        unit.stage = Stage.SUBMITTED
        try:
            self._database.submit(unit, settled)
        except DatabaseUnavailable as error:
            settled(error)
        return future

    def ephemeral(
        self,
        topic: str,
        key: int | str,
        payload: object,
        *,
        wake: Users = (),
        room_nids: Collection[int] = (),
        size_bytes: int = DEFAULT_PAYLOAD_BYTES,
    ) -> int:
        """Announce what is not stored (typing, presence); returns its position.

        It appears in order: at once if no commit is under way, else right after it.
        *wake* are our users in the rooms *room_nids*.
        """
        unit = JournalUnit(self.take_pos)
        pos = self._positions.take()
        unit.first_pos = unit.last_pos = pos
        unit.announce(topic, key, payload, pos=pos, size_bytes=size_bytes)
        unit.wake_rooms(wake, room_nids)
        unit.stage = Stage.STORED
        self._in_flight.append(unit)
        self._publish()
        return pos

    def take_pos(self, unit: JournalUnit) -> int:
        """The next position, for *unit* (called by ``JournalUnit.pos``)."""
        assert unit.stage is Stage.COLLECTING, f"the unit is {unit.stage.name}"
        pos = unit.last_pos = self._positions.take()
        if unit.first_pos is None:
            unit.first_pos = pos
            self._in_flight.append(unit)
            if not self._open:
                asyncio.get_running_loop().call_soon(self._abandon_open)
            self._open.append(unit)
        return pos

    # Reading

    @property
    def boot_position(self) -> int:
        """Changes after this one are known in memory, until a tail drops them."""
        return self._tails.start_pos

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Call *subscriber* with each announcement of *topic*, after its commit."""
        self._subscribers.setdefault(topic, []).append(subscriber)

    def adapt(self, topic: str, adapter: Adapter) -> None:
        """Have *adapter*, which must not fail, make of each payload of *topic* what is
        remembered and told.
        """
        self._adapters[topic] = adapter

    def release_waiting(self) -> None:
        """Let everyone who waits go, as if their time were up: the server stops."""
        self._notifier.release()

    @property
    def waiting_users(self) -> int:
        """How many users wait now."""
        return self._notifier.waiting_users

    # Publishing

    def _abandon_open(self) -> None:
        opened, self._open = self._open, []
        for unit in opened:
            if unit.stage is Stage.COLLECTING:
                unit.stage = Stage.ABANDONED
        self._publish()

    def _publish(self) -> None:
        if self._publishing:
            # A hook or subscriber has written something: the loop below goes on.
            return
        self._publishing = True
        try:
            while ready := self._take_ready():
                if self._replica is None:
                    self.position = self.watermark
                    self._finish(ready)
                else:
                    self._hand_on(self._replica, ready)
        finally:
            self._publishing = False

    def _take_ready(self) -> list[JournalUnit]:
        in_flight = self._in_flight
        ready: list[JournalUnit] = []
        while in_flight and in_flight[0].stage in SETTLED:
            ready.append(in_flight.popleft())
        return ready

    def _finish(self, units: list[JournalUnit]) -> None:
        stored = [unit for unit in units if unit.stage is Stage.STORED]
        for unit in units:
            if unit.commit_hooks or unit.failure_hooks:
                run_hooks(unit)
        announcements = [each for unit in stored for each in unit.announcements]
        if len(announcements) > 1:
            # Units may have taken their positions in turns.
            announcements.sort(key=itemgetter(_POS))
        for announcement in announcements:
            self.tell(announcement)
        for unit in stored:
            if unit.wakes:
                self._wake(unit)
        for unit in units:
            answer(unit)

    def _wake(self, unit: JournalUnit) -> None:
        for users in unit.wakes:
            self._notifier.wake(users, self.position)

    # With other writers (`Teller`)

    def _hand_on(self, replica: Replica, units: list[JournalUnit]) -> None:
        for unit in units:
            replica.store(as_own_unit(unit, partial(self._show, unit)))

    def _show(self, unit: JournalUnit) -> None:
        if unit.stage is Stage.STORED and unit.wakes:
            self._wake(unit)
        answer(unit)

    @property
    def watermark(self) -> int:
        """No unit of this process, now or later, has a position up to here."""
        if not self._in_flight:
            return self._positions.last
        first_pos = self._in_flight[0].first_pos
        assert first_pos is not None
        return first_pos - 1

    def observe(self, pos: int) -> None:
        """Another process has taken *pos*: take only positions above it."""
        self._positions.observe(pos)

    def reach(self, floor: int) -> None:
        """Everything up to *floor* is committed, by every process."""
        self.position = floor

    def tell(self, announcement: Announcement) -> None:
        """Remember an announcement, and call its subscribers."""
        topic, key, payload, pos, size_bytes = announcement
        adapter = self._adapters.get(topic)
        if adapter is not None:
            payload = adapter(pos, key, payload)
        self._tails.append(topic, pos, key, payload, size_bytes)
        subscribers = self._subscribers.get(topic)
        if subscribers is not None:
            call_each(subscribers, pos, key, payload)

    def wake(self, woken: Woken) -> None:
        """Wake whom another process names."""
        if woken.user_ids:
            self._notifier.wake(
                [UserId(each) for each in woken.user_ids], self.position
            )
        if woken.room_nids is None or woken.room_nids:
            assert self._audience is not None, "set_audience() comes first"
            rooms = None if woken.room_nids is None else frozenset(woken.room_nids)
            self._notifier.wake(self._audience(rooms), self.position)

    def forget(self, up_to: int) -> None:
        """Remember nothing: up to there something may have been announced unheard.

        What is told by now is forgotten as well, be it newer: nobody may take the
        empty tails for a time without news.
        """
        up_to = max(up_to, self.position)
        self._tails.forget(up_to)
        call_each(self._forgetters)
        self._notifier.forget(up_to)

    def set_audience(self, audience: Audience) -> None:
        """Find by *audience* whom other processes want to be woken here."""
        self._audience = audience

    def on_forget(self, forgetter: Callable[[], None]) -> None:
        """Call *forgetter* to empty a cache that announcements keep up to date."""
        self._forgetters.append(forgetter)

    async def settled(self, pos: int = 0) -> None:
        """Return once everything is visible that others had acknowledged by now, and
        everything up to *pos*, which somebody has stored or shown.

        Raises:
            Unknown: (503) it takes too long: the others can't be reached.
        """
        if self._others is not None:
            await self._others.settled(pos)

    async def covers(self, pos: int) -> bool:
        """Whether *pos* is visible; waits for it, as `settled`, if it has been shown
        by another process.
        """
        if self.position < pos <= self.watermark:
            await self.settled(pos)
        return pos <= self.position

    def give_up(self) -> None:
        """Let nobody wait for the other writers: they can't be reached."""
        if self._others is not None:
            self._others.give_up()
