"""The journal: one order of everything that happens, for every stream.

Events, receipts, typing, presence, account data, device lists …: all take positions
from one counter, so that a sync token is one number a writer. What a unit announces
appears in strict order of position, at the moment from which ``Journal.position``
covers it and never before.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum, auto
from typing import Final, LiteralString

from tremula.infra.db import (
    Database,
    DatabaseUnavailable,
    Params,
    Returned,
    Statement,
    Statements,
)
from tremula.infra.notifier import Notifier, Users
from tremula.infra.positions import Positions
from tremula.infra.tail import TopicTail
from tremula.protocol.identifiers import UserId

_log = logging.getLogger(__name__)

DEFAULT_PAYLOAD_BYTES: Final = 256

Announcement = tuple[str, Hashable, object, int, int]
"""``(topic, key, payload, pos, size_bytes)``."""

Subscriber = Callable[[int, Hashable, object], None]
"""Called with ``(pos, key, payload)``."""


class _Stage(Enum):
    COLLECTING = auto()
    SUBMITTED = auto()
    STORED = auto()
    FAILED = auto()
    ABANDONED = auto()


# A tuple: `in` compares by identity first, and hashing an Enum costs 0.5 µs.
_SETTLED: Final = (_Stage.STORED, _Stage.FAILED, _Stage.ABANDONED)


class JournalUnit:
    """A ``Unit`` that takes journal positions and says what follows its commit.

    From the first :meth:`pos` to ``Journal.commit`` or ``submit`` there must be no
    ``await``: a position in flight holds back what everyone can see. A unit that was
    not submitted when its turn on the event loop ends is abandoned.
    """

    __slots__ = (
        "_journal",
        "_statements",
        "announcements",
        "commit_hooks",
        "error",
        "failure_hooks",
        "first_pos",
        "future",
        "predecessor",
        "stage",
        "wakes",
    )

    def __init__(self, journal: "Journal") -> None:
        self._journal = journal
        self._statements = Statements()
        self.announcements: list[Announcement] = []
        self.wakes: list[Users] = []
        self.commit_hooks: list[Callable[[], None]] = []
        self.failure_hooks: list[Callable[[], None]] = []
        self.first_pos: int | None = None
        self.stage = _Stage.COLLECTING
        self.error: Exception | None = None
        self.future: asyncio.Future[None] | None = None
        self.predecessor: JournalUnit | None = None

    @property
    def statements(self) -> list[Statement]:
        """What was collected so far."""
        return self._statements.statements

    def run(self, sql: LiteralString, /, **params: object) -> None:
        """Add one statement."""
        self._statements.run(sql, **params)

    def run_many(self, sql: LiteralString, rows: Sequence[Params], /) -> None:
        """Add one statement for each of *rows*; none for an empty list."""
        self._statements.run_many(sql, rows)

    def returning(self, sql: LiteralString, /, **params: object) -> Returned:
        """Add one statement whose ``RETURNING`` rows the caller needs."""
        return self._statements.returning(sql, **params)

    def pos(self) -> int:
        """A new position, above every other; each call takes another.

        Raises:
            DatabaseUnavailable: see ``Positions.take``.
        """
        return self._journal.take_pos(self)

    def announce(
        self,
        topic: str,
        key: Hashable,
        payload: object,
        *,
        pos: int,
        size_bytes: int = DEFAULT_PAYLOAD_BYTES,
    ) -> None:
        """Put *payload* into the topic's tail at *pos* once the unit is committed.

        *size_bytes* is what the payload weighs in memory, for the tail's bound.
        """
        self.announcements.append((topic, key, payload, pos, size_bytes))

    def wake(self, users: Users) -> None:
        """Wake the waiting ones among *users* after the commit."""
        self.wakes.append(users)

    def follows(self, unit: "JournalUnit | None") -> None:
        """Store this unit only if *unit*, submitted before it, is stored."""
        self.predecessor = unit

    def on_commit(self, hook: Callable[[], None]) -> None:
        """Call *hook* after the commit, before anything is announced."""
        self.commit_hooks.append(hook)

    def on_failure(self, hook: Callable[[], None]) -> None:
        """Call *hook* if the unit is not stored, before its waiter goes on."""
        self.failure_hooks.append(hook)


class Journal:
    """Takes units, makes them durable, and tells everyone in order.

    There is one writer. Several will add a second part to the token (see ``tokens``)
    and fill the tail from the others' announcements as well; callers stay as they are.
    Measured on two cores: a unit with one position, one announcement and one wake
    costs 10 µs beside its statements.
    """

    def __init__(self, database: Database, positions: Positions) -> None:
        self._database = database
        self._positions = positions
        self._in_flight: deque[JournalUnit] = deque()
        self._open: list[JournalUnit] = []
        self._publishing = False
        self._tails: dict[str, TopicTail] = {}
        self._subscribers: dict[str, list[Subscriber]] = {}
        self.position = positions.last
        """Everything up to here is committed and visible."""
        self.boot_position = positions.last
        """Changes after this one are known in memory, until a tail drops them."""
        self._notifier = Notifier(self.position)

    @classmethod
    async def open(cls, database: Database) -> "Journal":
        """Start above every position that was ever handed out."""
        return cls(database, await Positions.open(database))

    # Writing

    def unit(self) -> JournalUnit:
        """A new, empty unit."""
        return JournalUnit(self)

    async def commit(self, unit: JournalUnit) -> None:
        """Store *unit*, announce it and return; ``position`` then covers it.

        Raises:
            Conflict: a constraint refused it; nothing of it was stored.
            InvalidValue: a parameter can't be stored.
            DatabaseUnavailable: the engine can't be reached; nothing was stored.
        """
        await self.submit(unit)

    def submit(self, unit: JournalUnit) -> asyncio.Future[None]:
        """Like :meth:`commit`, without waiting: several units may be under way.

        Units are stored in order of submission. Cancelling the future does not stop
        the unit.
        """
        assert unit.stage is _Stage.COLLECTING, f"the unit is {unit.stage.name}"
        future = unit.future = asyncio.get_running_loop().create_future()

        def settled(error: Exception | None) -> None:
            unit.stage = _Stage.STORED if error is None else _Stage.FAILED
            unit.error = error
            # Cut, or every unit would hold the whole line before it.
            unit.predecessor = None
            if unit.first_pos is None:
                self._finish([unit])
            else:
                self._publish()

        unit.stage = _Stage.SUBMITTED
        try:
            self._database.submit(unit, settled)
        except DatabaseUnavailable as error:
            settled(error)
        return future

    def ephemeral(
        self, topic: str, key: Hashable, payload: object, wake: Users = ()
    ) -> int:
        """Announce what is not stored (typing, presence); returns its position.

        It appears in order: at once if no commit is under way, else right after it.
        """
        unit = JournalUnit(self)
        pos = self._positions.take()
        unit.first_pos = pos
        unit.announce(topic, key, payload, pos=pos)
        unit.wake(wake)
        unit.stage = _Stage.STORED
        self._in_flight.append(unit)
        self._publish()
        return pos

    def take_pos(self, unit: JournalUnit) -> int:
        """The next position, for *unit* (called by ``JournalUnit.pos``)."""
        assert unit.stage is _Stage.COLLECTING, f"the unit is {unit.stage.name}"
        pos = self._positions.take()
        if unit.first_pos is None:
            unit.first_pos = pos
            self._in_flight.append(unit)
            if not self._open:
                asyncio.get_running_loop().call_soon(self._abandon_open)
            self._open.append(unit)
        return pos

    # Reading

    def changed_pos(self, topic: str, key: Hashable) -> int:
        """A position after which *key* has not changed: its newest, if remembered.

        A key that memory does not know answers ``boot_position`` or, once old changes
        had to be forgotten, a later one: never too low. So ``changed_pos(…) <= since``
        means "nothing new", and anything else "look".
        """
        tail = self._tails.get(topic)
        return self.boot_position if tail is None else tail.changed_pos(key)

    def tail(
        self, topic: str, key: Hashable, after: int
    ) -> list[tuple[int, object]] | None:
        """``(pos, payload)`` of *key* after position *after*, oldest first.

        None if the tail no longer reaches back that far: ask the database.
        """
        tail = self._tails.get(topic)
        if tail is not None:
            return tail.after(key, after)
        return None if after < self.boot_position else []

    def newest(self, topic: str, key: Hashable, count: int) -> list[object]:
        """The newest *count* payloads of *key* that memory has, oldest first."""
        tail = self._tails.get(topic)
        return [] if tail is None else tail.newest(key, count)

    def changed_keys(self, topic: str, after: int) -> AbstractSet[Hashable] | None:
        """The keys of *topic* that changed after *after*; costs what changed.

        None if the tail no longer reaches back that far: ask the database.
        """
        tail = self._tails.get(topic)
        if tail is not None:
            return tail.keys_after(after)
        return None if after < self.boot_position else frozenset()

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Call *subscriber* with each announcement of *topic*, after its commit."""
        self._subscribers.setdefault(topic, []).append(subscriber)

    def was_woken(self, user_id: UserId, after: int) -> bool:
        """Whether something woke the user after position *after*, or may have."""
        return self._notifier.was_woken(user_id, after)

    def release_waiting(self) -> None:
        """Let everyone who waits go, as if their time were up: the server stops."""
        self._notifier.release()

    async def wait(self, user_id: UserId, after: int, timeout_s: float) -> bool:
        """Wait until something woke the user after *after*; False on time-out."""
        return await self._notifier.wait(user_id, after, timeout_s)

    @property
    def waiting_users(self) -> int:
        """How many users wait now."""
        return self._notifier.waiting_users

    # Publishing

    def _abandon_open(self) -> None:
        opened, self._open = self._open, []
        for unit in opened:
            if unit.stage is _Stage.COLLECTING:
                unit.stage = _Stage.ABANDONED
        self._publish()

    def _publish(self) -> None:
        if self._publishing:
            # A hook or subscriber has written something: the loop below goes on.
            return
        self._publishing = True
        try:
            while ready := self._take_ready():
                self._finish(ready)
        finally:
            self._publishing = False

    def _take_ready(self) -> list[JournalUnit]:
        in_flight = self._in_flight
        ready: list[JournalUnit] = []
        while in_flight and in_flight[0].stage in _SETTLED:
            ready.append(in_flight.popleft())
        if in_flight:
            first_pos = in_flight[0].first_pos
            assert first_pos is not None
            self.position = first_pos - 1
        else:
            self.position = self._positions.last
        return ready

    def _finish(self, units: list[JournalUnit]) -> None:
        stored = [unit for unit in units if unit.stage is _Stage.STORED]
        for unit in units:
            _run_hooks(unit)
        announcements = [each for unit in stored for each in unit.announcements]
        if len(announcements) > 1:
            # Units may have taken their positions in turns.
            announcements.sort(key=_pos_of)
        for topic, key, payload, pos, size_bytes in announcements:
            tail = self._tails.get(topic)
            if tail is None:
                tail = self._tails[topic] = TopicTail(self.boot_position)
            tail.append(pos, key, payload, size_bytes)
            for subscriber in self._subscribers.get(topic, ()):
                _guarded(subscriber, pos, key, payload)
        for unit in stored:
            for users in unit.wakes:
                self._notifier.wake(users, self.position)
        for unit in units:
            _answer(unit)


def _pos_of(announcement: Announcement) -> int:
    return announcement[3]


def _run_hooks(unit: JournalUnit) -> None:
    if unit.stage is _Stage.STORED:
        hooks = unit.commit_hooks
    elif unit.stage is _Stage.FAILED:
        hooks = unit.failure_hooks
    else:
        return
    for hook in hooks:
        _guarded(hook)


def _answer(unit: JournalUnit) -> None:
    future = unit.future
    if future is None or future.done():
        return
    if unit.error is None:
        future.set_result(None)
    else:
        future.set_exception(unit.error)


def _guarded(callback: Callable[..., None], *args: object) -> None:
    try:
        callback(*args)
    except Exception:  # noqa: BLE001 - see below
        # What is committed is committed: a bug of one listener must not keep the
        # news from the others, nor the writer from its answer.
        _log.exception("journal_listener_failed")
