"""Members, their clocks and the database, simulated: every order of things has a seed.

The members run the real ``Tenure``, which awaits nothing but its table: a call to the
table leaves the coroutine, and what the seed says happens to it. No loop is there.
"""

import heapq
import random
from collections.abc import Callable, Collection, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import coroutine
from typing import Any, Final

from tests.infra.cluster.table import Table
from tremula.infra.cluster.assignment import assigned
from tremula.infra.cluster.members import HEARTBEAT_S, NO_LOAD, Load, Sight
from tremula.infra.cluster.tenure import LeaseEnded, Tenure
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.slots import SlotLease

SLOTS: Final = 12
# Clocks of machines may differ by as much in speed.
DRIFT: Final = 0.02
_LATENCY_S: Final = 0.05
_TIMEOUT_S: Final = 2.0

Call = Callable[[], Any]


@coroutine
def _travel(call: Call) -> Generator[Call, Any, Any]:
    """Leave the coroutine; the simulation does *call*, or loses it."""
    return (yield call)


@dataclass(eq=False, slots=True)
class RemoteTable:
    """Implements ``LeaseTable`` for one member: each call travels."""

    table: Table

    async def beat(
        self, member: str, *, is_reachable: bool, load: Load = NO_LOAD
    ) -> Sight | None:
        sight: Sight | None = await _travel(
            lambda: self.table.beat(member, is_reachable=is_reachable, load=load)
        )
        return sight

    async def bury(self, members: Sequence[str]) -> None:
        await _travel(lambda: self.table.bury(members))

    async def claim(self, member: str, slots: Sequence[int]) -> list[SlotLease]:
        leases: list[SlotLease] = await _travel(lambda: self.table.claim(member, slots))
        return leases

    async def release(self, leases: Sequence[SlotLease]) -> None:
        await _travel(lambda: self.table.release(leases))

    async def announce_leaving(self, member: str) -> None:
        await _travel(lambda: self.table.announce_leaving(member))

    async def withdraw(self, member: str) -> None:
        await _travel(lambda: self.table.withdraw(member))


@dataclass(eq=False, slots=True)
class Process:
    """A member as a process of its own, with a clock of its own speed."""

    simulation: "Simulation"
    name: str
    speed: float
    is_paused: bool = False
    is_dead: bool = False
    is_cut_off: bool = False
    is_leaving: bool = False
    busy_until_s: dict[int, float] = field(default_factory=dict)
    waiting: list[Callable[[], None]] = field(default_factory=list)
    tenure: Tenure = field(init=False)

    def __post_init__(self) -> None:
        self.tenure = Tenure(
            RemoteTable(self.simulation.table),
            self.name,
            now_s=self.now_s,
            work=self,
            taken=lambda _: None,
            gone=lambda _: None,
        )

    def now_s(self) -> float:
        return self.simulation.now_s * self.speed

    def is_idle(self, slot: int) -> bool:
        return self.busy_until_s.get(slot, 0) <= self.simulation.now_s

    def believed(self) -> Collection[int]:
        """The slots that it would take commands for now."""
        slots = self.tenure.holdings.slots
        if self.is_dead or self.is_paused or not slots:
            return ()
        return slots if self.tenure.lease(next(iter(slots))) is not None else ()

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        """Go on with *work* until it is over, through what it awaits."""
        self._step(work, lambda: work.send(None))

    def _step(self, work: Coroutine[Any, Any, Any], resume: Callable[[], Call]) -> None:
        try:
            call = resume()
        except StopIteration:
            self._again()
        except DatabaseUnavailable:
            self._again()
        except LeaseEnded:
            self.is_dead = True
        else:
            self.simulation.perform(self, work, call)

    def answer(
        self, work: Coroutine[Any, Any, Any], resume: Callable[[], Call]
    ) -> None:
        """Resume *work*, when the process runs."""
        if self.is_dead:
            work.close()
        elif self.is_paused:
            self.waiting.append(lambda: self._step(work, resume))
        else:
            self._step(work, resume)

    def resume(self) -> None:
        self.is_paused = False
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()

    def _again(self) -> None:
        if self.is_leaving and self.tenure.holdings.is_empty:
            self.simulation.table.withdraw(self.name)
            self.is_dead = True
            return
        self.simulation.later(HEARTBEAT_S, self.beat)

    def beat(self) -> None:
        if self.is_dead:
            return
        if self.is_paused:
            self.waiting.append(self.beat)
            return
        self.run(self._beat())

    async def _beat(self) -> None:
        await self.tenure.look(is_reachable=True)
        await self.tenure.act()


class Simulation:
    """Everything that happens, in the order of its time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.now_s = 0.0
        self.table = Table(SLOTS)
        self.processes: list[Process] = []
        self.is_database_down = False
        self.loss = 0.01
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def later(self, delay_s: float, work: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now_s + delay_s, next(self._numbers), work))

    def start(self) -> Process:
        """A new member."""
        process = Process(
            self,
            f"m{len(self.processes)}",
            speed=1 + self.random.uniform(-DRIFT, DRIFT),
        )
        self.processes.append(process)
        self.table.join(process.name)
        process.beat()
        return process

    @property
    def living(self) -> list[Process]:
        return [each for each in self.processes if not each.is_dead]

    def perform(
        self, process: Process, work: Coroutine[Any, Any, Any], call: Call
    ) -> None:
        """Bring a call to the database, and its answer back; either may be lost."""

        def fail() -> None:
            error = DatabaseUnavailable("lost")
            process.answer(work, lambda: work.throw(error))

        def arrive() -> None:
            if self._is_lost(process):
                self.later(_TIMEOUT_S, fail)
                # It may be done after all, when nobody expects it any more.
                if self.random.random() < 0.3:
                    self.later(self.random.uniform(0, 2 * _TIMEOUT_S), call)
                return
            self.table.now_s = self.now_s
            result = call()
            if self._is_lost(process):
                self.later(_TIMEOUT_S, fail)
                return
            self.later(
                self.random.random() * _LATENCY_S,
                lambda: process.answer(work, lambda: work.send(result)),
            )

        self.later(self.random.random() * _LATENCY_S, arrive)

    def _is_lost(self, process: Process) -> bool:
        return (
            self.is_database_down
            or process.is_cut_off
            or self.random.random() < self.loss
        )

    def run(self, until_s: float, check: Callable[[], None]) -> None:
        """Let everything happen up to *until_s*, with *check* after each."""
        while self._due and self._due[0][0] <= until_s:
            self.now_s, _, work = heapq.heappop(self._due)
            self.table.now_s = self.now_s
            work()
            check()
        self.now_s = self.table.now_s = until_s

    def is_settled(self) -> bool:
        """Whether every slot is held by the living member that should."""
        names = tuple(sorted(each.name for each in self.living if not each.is_leaving))
        by_name = {each.name: each for each in self.living}
        return all(
            holding.member == owner
            and (owner is None or slot in by_name[owner].believed())
            for slot, (owner, holding) in enumerate(
                zip(assigned(names, SLOTS), self.table.holdings, strict=True)
            )
        )
