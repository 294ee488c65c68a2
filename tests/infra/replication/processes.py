"""Processes with a journal each, and a network between them that takes its time."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.fakes.database import FakeDatabase
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.positions import Positions
from tremula.infra.replication.agenda import Agenda
from tremula.infra.replication.messages import Topics
from tremula.infra.replication.replica import Replica

TOPIC: Final = "things"
WRITERS: Final = 8

Told = tuple[int, str]
"""Position and payload."""


@dataclass
class Process:
    """One process: what it was told, in order."""

    writer: int
    incarnation: int
    network: "Network"
    database: FakeDatabase = field(default_factory=FakeDatabase)
    told: list[Told] = field(default_factory=list)
    answered: dict[int, str] = field(default_factory=dict)
    to_run: deque[Callable[[], None]] = field(default_factory=deque)
    forgotten_up_to: int = 0
    taken_pos: int = 0
    """The last position that it took for something."""

    def __post_init__(self) -> None:
        topics = Topics()
        topics.register(TOPIC, str)
        self.replica = Replica(
            writer=self.writer,
            incarnation=self.incarnation,
            topics=topics,
            send=self._send,
            soon=self.to_run.append,
            agenda=Agenda(lambda: 0),
            is_counted_on=lambda: self.writer in self.network.members,
        )
        start = self.network.highest_pos
        self.positions = Positions(
            self.database, start=start, writer=self.writer, writers=WRITERS
        )
        self.journal = Journal(self.database, self.positions, self.replica)
        self.journal.subscribe(TOPIC, self._take)
        self.journal.on_forget(self._forget)

    def write(self, payloads: list[str], *, announces: bool = True) -> JournalUnit:
        """Submit a unit with a position a payload."""
        unit = self.journal.unit()
        wanted = []
        for payload in payloads:
            pos = self.taken_pos = unit.pos()
            if announces:
                unit.announce(TOPIC, "key", payload, pos=pos)
                wanted.append((pos, payload))
        future = self.journal.commit(unit)
        future.add_done_callback(lambda done: self._answer(wanted, done))
        self.network.written[id(unit)] = wanted
        return unit

    def settle(self, *, fails: bool = False) -> None:
        """Store the oldest unit that waits, if there is one."""
        if not self.database.waiting:
            return
        fails = fails or self.writer not in self.network.members
        unit, _ = self.database.waiting[0]
        if not fails and id(unit) in self.network.written:
            self.network.stored += self.network.written[id(unit)]
        self.database.settle(DatabaseUnavailable("down") if fails else None)

    def _answer(self, wanted: list[Told], done: "asyncio.Future[None]") -> None:
        if done.exception() is None:
            self.answered |= dict(wanted)

    def _send(self, packed: bytes) -> None:
        self.network.broadcast(self, packed)

    def _take(self, pos: int, _key: object, payload: object) -> None:
        assert isinstance(payload, str)
        self.told.append((pos, payload))

    def _forget(self) -> None:
        self.forgotten_up_to = self.journal.boot_position


@dataclass
class Network:
    """Delivers in order between any two, and nothing else is certain.

    The database has ``members``, and from those who are none any more it takes nothing.
    Who is ``cut_off`` goes on, and does not know.
    """

    rng: random.Random
    members: set[int] = field(default_factory=set)
    cut_off: set[int] = field(default_factory=set)
    last_pos: dict[int, int] = field(default_factory=dict)
    """Of those who are no members any more: above all that they have stored."""
    is_lossy: bool = False
    """Whether messages are lost while somebody joins."""
    processes: dict[int, Process] = field(default_factory=dict)
    stored: list[Told] = field(default_factory=list)
    written: dict[int, list[Told]] = field(default_factory=dict)
    queues: dict[tuple[int, int], deque[bytes]] = field(default_factory=dict)
    incarnations: int = 0

    @property
    def highest_pos(self) -> int:
        """What the database says was handed out at most."""
        return max((each.positions.last for each in self.processes.values()), default=0)

    @property
    def connected(self) -> list[Process]:
        """The members that nothing is wrong with."""
        return [
            each
            for writer, each in self.processes.items()
            if writer in self.members - self.cut_off
        ]

    async def start(self, writer: int) -> Process:
        """A new process, once everybody has welcomed it."""
        for lost in self.members & self.cut_off:
            self.bury(lost)
        self.incarnations += 1
        self.members.add(writer)
        process = Process(writer, self.incarnations, self)
        self.processes[writer] = process
        process.replica.hello()
        others = self.members - {writer}
        while not others <= set(process.replica.peers):
            self.step()
            if self.is_lossy and self.rng.random() < 0.1:
                self.lose()
            if not self._deliverable():
                process.replica.hello()
        process.replica.settle_in()
        settled = asyncio.ensure_future(process.replica.settled())
        while not settled.done():
            await asyncio.sleep(0)
            self.step()
            for each in self.processes.values():
                each.settle()
            if self.rng.random() < 0.1:
                self.look(self.rng.choice(self.connected))
        return process

    def cut(self, writer: int) -> None:
        """*writer* reaches nobody: of what is under way the end is lost, and the rest
        late.
        """
        self.cut_off.add(writer)
        for pair, queue in self.queues.items():
            if writer in pair:
                for _ in range(self.rng.randint(0, len(queue))):
                    queue.pop()

    def bury(self, writer: int) -> None:
        """*writer* is no member any more: it can store nothing from now on."""
        self.members.discard(writer)
        self.last_pos[writer] = self.processes[writer].taken_pos

    def mend(self, writer: int) -> None:
        """*writer* reaches the others again, and goes on."""
        self.cut_off.discard(writer)
        self.processes[writer].replica.beat()

    def end(self, writer: int) -> None:
        """*writer* has found out that it is no member."""
        self.processes.pop(writer)
        self.cut_off.discard(writer)
        for pair in [pair for pair in self.queues if pair[1] == writer]:
            del self.queues[pair]

    def look(self, process: Process) -> None:
        """*process* looks who is there, as `ReplicationLink.look` does."""
        for writer in set(process.replica.peers) - self.members:
            process.replica.drop(writer, last_pos=self.last_pos[writer])
        process.replica.beat()

    def crash(self, writer: int) -> None:
        """*writer* is gone, with what is under way to it; what it sent may be lost."""
        self.bury(writer)
        gone = self.processes.pop(writer)
        for pair in [pair for pair in self.queues if writer in pair]:
            queue = self.queues.pop(pair)
            if pair[1] in self.processes:
                for packed in list(queue)[: self.rng.randint(0, len(queue))]:
                    self.processes[pair[1]].replica.receive(packed)
        for process in self.processes.values():
            process.replica.drop(writer, last_pos=gone.taken_pos)

    def broadcast(self, sender: Process, packed: bytes) -> None:
        """Put *packed* on its way to everybody else."""
        if sender.writer in self.cut_off:
            return
        for writer in self.processes.keys() - self.cut_off:
            if writer != sender.writer:
                self.queues.setdefault((sender.writer, writer), deque()).append(packed)

    def lose(self) -> None:
        """One message does not come."""
        queues = [queue for queue in self.queues.values() if queue]
        if queues:
            self.rng.choice(queues).popleft()

    def step(self) -> None:
        """Something small happens somewhere: a delivery, or a reaction."""
        pairs = self._deliverable()
        runnable = [each for each in self.processes.values() if each.to_run]
        if runnable and (not pairs or self.rng.random() < 0.5):
            self.rng.choice(runnable).to_run.popleft()()
        elif pairs:
            pair = self.rng.choice(pairs)
            packed = self.queues[pair].popleft()
            self.processes[pair[1]].replica.receive(packed)

    async def come_to_rest(self) -> None:
        """Everything under way arrives, and everybody beats until all is told."""
        for _ in range(4):
            # Units that nobody submits are given up when the loop turns.
            await asyncio.sleep(0)
            for process in self.processes.values():
                while process.database.waiting:
                    process.settle()
            self.deliver()
            for process in self.processes.values():
                process.replica.beat()
        self.deliver()

    def deliver(self) -> None:
        """Everything under way arrives."""
        for _ in self._until_quiet():
            pass

    def _deliverable(self) -> list[tuple[int, int]]:
        return [
            pair
            for pair, queue in self.queues.items()
            if queue and self.cut_off.isdisjoint(pair)
        ]

    def _until_quiet(self) -> Iterator[None]:
        while self._deliverable() or any(
            each.to_run for each in self.processes.values()
        ):
            self.step()
            yield
