"""Units of the journal: what is to be stored, announced and done, and its outcome."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum, auto
from functools import partial
from typing import Final, LiteralString

from tremula.infra.db import Params, Returned, Statement
from tremula.infra.notifier import Users
from tremula.infra.replication.messages import Woken
from tremula.infra.replication.units import Announcement, OwnUnit
from tremula.infra.slots import SlotLease, current_lease
from tremula.protocol.identifiers import UserId

_log = logging.getLogger(__name__)

DEFAULT_PAYLOAD_BYTES: Final = 256


class Stage(Enum):
    """How far a unit is."""

    COLLECTING = auto()
    SUBMITTED = auto()
    STORED = auto()
    FAILED = auto()
    ABANDONED = auto()


# A tuple: `in` compares by identity first, and hashing an Enum costs 0.5 µs.
SETTLED: Final = (Stage.STORED, Stage.FAILED, Stage.ABANDONED)


class JournalUnit:
    """A ``Unit`` that takes journal positions and says what follows its commit.

    From the first :meth:`pos` to ``Journal.commit`` there must be no ``await``: a
    position in flight holds back what everyone can see. A unit that was not submitted
    when its turn on the event loop ends is abandoned.
    """

    __slots__ = (
        "_take_pos",
        "announcements",
        "commit_hooks",
        "error",
        "failure_hooks",
        "first_pos",
        "future",
        "last_pos",
        "lease",
        "predecessor",
        "stage",
        "statements",
        "wakes",
        "woken_rooms",
        "woken_users",
    )

    def __init__(self, take_pos: Callable[["JournalUnit"], int]) -> None:
        self._take_pos = take_pos
        self.statements: list[Statement] = []
        """What was collected so far."""
        self.announcements: list[Announcement] = []
        self.wakes: list[Users] = []
        self.commit_hooks: tuple[Callable[[], None], ...] = ()
        self.failure_hooks: tuple[Callable[[], None], ...] = ()
        self.woken_users: list[UserId] = []
        self.woken_rooms: set[int] | None = set()
        self.first_pos: int | None = None
        self.last_pos = 0
        self.stage = Stage.COLLECTING
        self.error: Exception | None = None
        self.future: asyncio.Future[None] | None = None
        self.predecessor: JournalUnit | None = None
        self.lease = current_lease()

    def run(self, sql: LiteralString, /, **params: object) -> None:
        """Add one statement."""
        self.statements.append(Statement(sql, (params,)))

    def run_many(self, sql: LiteralString, rows: Sequence[Params], /) -> None:
        """Add one statement for each of *rows*; none for an empty list."""
        if rows:
            self.statements.append(Statement(sql, rows))

    def returning(self, sql: LiteralString, /, **params: object) -> Returned:
        """Add one statement whose ``RETURNING`` rows the caller needs."""
        returned = Returned()
        self.statements.append(Statement(sql, (params,), returned))
        return returned

    def pos(self) -> int:
        """A new position, above every other; each call takes another.

        Raises:
            DatabaseUnavailable: see ``Positions.take``.
        """
        return self._take_pos(self)

    def announce(
        self,
        topic: str,
        key: int | str,
        payload: object,
        *,
        pos: int,
        size_bytes: int = DEFAULT_PAYLOAD_BYTES,
    ) -> None:
        """Put *payload* into the topic's tail at *pos* once the unit is committed.

        Other processes get it, too: its type is registered for the topic. *size_bytes*
        is what the payload weighs in memory, for the tail's bound.
        """
        self.announcements.append((topic, key, payload, pos, size_bytes))

    def wake(self, users: Collection[UserId]) -> None:
        """Wake the waiting ones among *users*, who are few, after the commit."""
        self.wakes.append(users)
        self.woken_users += users

    def wake_rooms(self, users: Users, room_nids: Collection[int] | None) -> None:
        """Wake the waiting ones among *users* after the commit; *users* are, here, our
        users in the rooms *room_nids* (None: not known), as other processes find them.
        """
        self.wakes.append(users)
        if room_nids is None or self.woken_rooms is None:
            self.woken_rooms = None
        else:
            self.woken_rooms.update(room_nids)

    def follows(self, unit: "JournalUnit | None") -> None:
        """Store this unit only if *unit*, submitted before it, is stored."""
        self.predecessor = unit

    def under(self, lease: SlotLease | None) -> None:
        """Store this unit only if nobody else holds the slot of *lease* by then.

        Those of a command are under its lease anyway.
        """
        self.lease = lease

    def on_commit(self, hook: Callable[[], None]) -> None:
        """Call *hook* after the commit, before anything is announced."""
        self.commit_hooks += (hook,)

    def on_failure(self, hook: Callable[[], None]) -> None:
        """Call *hook* if the unit is not stored, before its waiter goes on."""
        self.failure_hooks += (hook,)


def as_own_unit(unit: JournalUnit, shown: Callable[[], None]) -> OwnUnit:
    """What the other processes are told of *unit*: nothing if it was not stored."""
    assert unit.first_pos is not None
    is_stored = unit.stage is Stage.STORED
    woken = None
    if is_stored and unit.wakes:
        rooms = unit.woken_rooms
        nids = None if rooms is None else list(rooms)
        woken = Woken(unit.last_pos, unit.woken_users, nids)
    return OwnUnit(
        unit.first_pos,
        unit.last_pos,
        unit.announcements if is_stored else (),
        woken,
        done=partial(run_hooks, unit),
        shown=shown,
    )


def run_hooks(unit: JournalUnit) -> None:
    """Run what it asked for in its case, and let go of its hooks.

    Many of them know the unit: with them it would stay, and all that it stores and
    announces, until the garbage collector comes upon it.
    """
    if unit.stage is Stage.STORED:
        call_each(unit.commit_hooks)
    elif unit.stage is Stage.FAILED:
        call_each(unit.failure_hooks)
    unit.commit_hooks = unit.failure_hooks = ()


def answer(unit: JournalUnit) -> None:
    """Let its waiter go on."""
    future = unit.future
    if future is None or future.done():
        return
    if unit.error is None:
        future.set_result(None)
    else:
        future.set_exception(unit.error)


def call_each(callbacks: Iterable[Callable[..., None]], *args: object) -> None:
    """Call all of *callbacks*; what one raises is logged."""
    for callback in callbacks:
        try:
            callback(*args)
        except Exception:  # noqa: BLE001 - see below
            # What is committed is committed: a bug of one listener must not keep the
            # news from the others, nor the writer from its answer.
            _log.exception("journal_listener_failed")
