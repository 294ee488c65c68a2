"""Members of a cluster in one process, each with the real keeper and the real slots.

The event loop runs for real, but its time is the test's (`tests/fakes/loop.py`): what
waits for seconds takes none.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from msgspec import Struct

from tests.fakes.bus import FakeBus, FakeNetwork
from tests.fakes.loop import run_jumping
from tests.infra.cluster.table import Table
from tremula.infra.cluster.in_flight import InFlight
from tremula.infra.cluster.keeper import LeaseKeeper
from tremula.infra.cluster.members import NO_LOAD, Load, Sight
from tremula.infra.cluster.metrics import CallMetrics
from tremula.infra.cluster.slots import ClusterSlots
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.metrics import Metrics
from tremula.infra.slots import SLOTS, CallTypes, SlotLease
from tremula.infra.supervisor import Supervisor

SUBJECT = "tremula.test"


class LoopClock:
    """Implements ``Clock`` by the time of the event loop."""

    def now_ms(self) -> int:
        return int(self.monotonic_s() * 1000)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass(slots=True)
class SharedTable:
    """Implements ``LeaseTable``; ``is_down``: it can't be reached."""

    table: Table = field(default_factory=lambda: Table(SLOTS))
    is_down: bool = False
    beats: int = 0

    async def beat(
        self, member: str, *, is_reachable: bool, load: Load = NO_LOAD
    ) -> Sight | None:
        self.beats += 1
        table = await self._now()
        return table.beat(member, is_reachable=is_reachable, load=load)

    async def bury(self, members: Sequence[str]) -> None:
        (await self._now()).bury(members)

    async def claim(self, member: str, slots: Sequence[int]) -> list[SlotLease]:
        return (await self._now()).claim(member, slots)

    async def release(self, leases: Sequence[SlotLease]) -> None:
        (await self._now()).release(leases)

    async def announce_leaving(self, member: str) -> None:
        (await self._now()).announce_leaving(member)

    async def withdraw(self, member: str) -> None:
        (await self._now()).withdraw(member)

    async def _now(self) -> Table:
        await asyncio.sleep(0)
        if self.is_down:
            raise DatabaseUnavailable("down")
        self.table.now_s = asyncio.get_running_loop().time()
        return self.table


class Note(Struct, frozen=True, tag=True):
    """A command: write down *text*."""

    text: str


class Size(Struct, frozen=True, tag=True):
    """A command: say how long *data* is."""

    data: bytes


class Refusal(Exception):
    """An error of this kind of commands."""


@dataclass(eq=False, slots=True)
class Member:
    """A process with its slots; ``notes`` are what it was told to write down."""

    name: str
    bus: FakeBus
    keeper: LeaseKeeper
    slots: ClusterSlots
    supervisor: Supervisor
    metrics: Metrics
    notes: list[tuple[str, str]] = field(default_factory=list)
    failing: list[Exception] = field(default_factory=list)
    held_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def do(self, key: str, command: Note | Size) -> list[str] | int:
        """The handler."""
        if self.failing:
            raise self.failing.pop(0)
        if isinstance(command, Size):
            return len(command.data)
        self.notes.append((key, command.text))
        if command.text.startswith("slow"):
            await self.held_up.wait()
        return [self.name, command.text[:8]]

    async def note(self, key: str, text: str) -> list[str]:
        """Have the holder of *key* write down *text*; who did, and how it begins."""
        answer: list[str] = await self.slots.call("note", key, Note(text))
        return answer

    async def crash(self) -> None:
        """End at once."""
        self.bus.cut()
        await self.supervisor.stop()


@dataclass(slots=True)
class Cluster:
    """All members."""

    table: SharedTable = field(default_factory=SharedTable)
    network: FakeNetwork = field(default_factory=FakeNetwork)
    members: list[Member] = field(default_factory=list)

    async def start(self) -> Member:
        """One more member."""
        clock, metrics = LoopClock(), Metrics()
        supervisor = Supervisor(metrics)
        bus, in_flight = self.network.member(), InFlight(clock.monotonic_s)
        name = f"m{len(self.members)}"
        keeper = LeaseKeeper(
            self.table,
            name,
            bus=bus,
            subject=SUBJECT,
            clock=clock,
            in_flight=in_flight,
        )
        slots = ClusterSlots(
            keeper,
            bus=bus,
            subject=SUBJECT,
            supervisor=supervisor,
            clock=clock,
            in_flight=in_flight,
            metrics=CallMetrics(metrics.registry),
        )
        member = Member(name, bus, keeper, slots, supervisor, metrics)
        types = CallTypes(Note | Size, list[str] | int, (Refusal,))
        slots.register("note", member.do, types)
        self.table.table.now_s = clock.monotonic_s()
        self.table.table.join(name)
        await slots.open()
        supervisor.keep_running("leases", keeper.run)
        self.members.append(member)
        return member

    async def settled(self) -> None:
        """Wait until every slot is held, and every member knows by whom."""
        while not self._is_settled():
            await self.living[0].keeper.look_again(1)

    def _is_settled(self) -> bool:
        held = sum(len(each.keeper.slots) for each in self.living)
        return held == SLOTS and all(
            member.keeper.holder(slot)
            for member in self.living
            for slot in range(SLOTS)
        )

    @property
    def living(self) -> list[Member]:
        return [each for each in self.members if each.bus.is_connected]

    def key_of(self, member: Member) -> str:
        """A key whose slot *member* holds."""
        return self.keys_of(member, 1)[0]

    def keys_of(self, member: Member, count: int) -> list[str]:
        """Keys of several slots that *member* holds."""
        keys = (f"key {number}" for number in range(100_000))
        held = [key for key in keys if _holds(member, key)]
        return held[:count]


def _holds(member: Member, key: str) -> bool:
    try:
        member.slots.lease(key)
    except DatabaseUnavailable:
        return False
    return True


@asynccontextmanager
async def running_cluster() -> AsyncIterator[Cluster]:
    """A cluster whose members end with the test."""
    cluster = Cluster()
    try:
        yield cluster
    finally:
        for member in cluster.members:
            await member.supervisor.stop()


def in_cluster(scenario: Callable[[Cluster], Awaitable[None]]) -> Callable[[], None]:
    """Make a test of *scenario*: in a new cluster, in time that jumps."""

    async def run() -> None:
        async with running_cluster() as cluster:
            await scenario(cluster)

    def test() -> None:
        run_jumping(run())

    test.__doc__ = scenario.__doc__
    return test
