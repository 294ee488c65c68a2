"""Whatever happens to processes, bus and database: nothing is lost or doubled."""

import asyncio
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.cluster.balancer import Balancer
from tests.cluster.crowd import Crowd, gather_crowd
from tests.cluster.members import Members
from tests.homeserver import Homeserver
from tests.nats_server import NatsServer
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.cluster

CHAOS_S: Final = float(os.environ.get("CHAOS_S") or 60)
PROCESSES_LEAST: Final = 2
PROCESSES_MOST: Final = 4
# Five, and what a busy machine takes.
WRITES_BACK_S: Final = 7.0
CRASHES: Final = 3


@dataclass(slots=True)
class Chaos:
    """Does things to a server that is in use."""

    members: Members
    postgres: PostgresServer
    nats: NatsServer
    dice: random.Random
    began_s: float = field(default_factory=time.monotonic)

    async def do(self) -> None:
        """Do one thing, chosen at random, and undo it."""
        deeds: list[Callable[[], Awaitable[None]]] = [
            self.kill,
            self.kill,
            self.pause,
            self.pause,
            self.stop,
            self.add_or_remove,
            self.restart_nats,
            self.restart_postgres,
        ]
        deed = self.dice.choice(deeds)
        self._say(deed.__name__)
        await deed()

    async def kill(self) -> None:
        """A process crashes, and is started again at once, or after a while."""
        homeserver = self._any()
        await homeserver.kill()
        await self._wait(most_s=6)
        await homeserver.start()

    async def pause(self) -> None:
        """A process stands still: for a moment, or until it is taken for dead."""
        homeserver = self._any()
        homeserver.pause()
        await self._wait(most_s=8)
        homeserver.resume()

    async def stop(self) -> None:
        """A process is stopped and started again."""
        homeserver = self._any()
        await homeserver.stop()
        await homeserver.start()

    async def add_or_remove(self) -> None:
        """One process more, or one less."""
        count = len(self.members.homeservers)
        adds = count < PROCESSES_MOST and (
            count <= PROCESSES_LEAST or self.dice.random() < 0.5
        )
        if adds:
            await self.members.add()
        else:
            await self.members.remove(self._any())

    async def restart_nats(self) -> None:
        """The bus is gone for a while."""
        self.nats.stop()
        await self._wait(most_s=4)
        await asyncio.to_thread(self.nats.start)

    async def restart_postgres(self) -> None:
        """The database crashes and comes back."""
        await asyncio.to_thread(self.postgres.stop, "immediate")
        await self._wait(most_s=4)
        await asyncio.to_thread(self.postgres.start)

    def _any(self) -> Homeserver:
        return self.dice.choice(self.members.homeservers)

    async def _wait(self, *, most_s: float) -> None:
        await asyncio.sleep(self.dice.random() * most_s)

    def _say(self, text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - self.began_s:6.1f} s {text}\n")


@pytest.mark.timeout(CHAOS_S + 240)
async def test_nothing_is_lost_doubled_or_moved_whatever_happens(
    members: Members,
    balancer: Balancer,
    postgres: PostgresServer,
    nats: NatsServer,
    dice: random.Random,
) -> None:
    crowd = await gather_crowd(members, balancer, dice)
    chaos = Chaos(members, postgres, nats, dice)

    async with asyncio.TaskGroup() as group:
        with crowd.busy(group):
            while time.monotonic() - chaos.began_s < CHAOS_S:
                await chaos.do()
                await members.restart_ended()
                await asyncio.sleep(dice.random() * 2)

    await members.restart_ended()
    await crowd.check()
    _say_what_was_seen(crowd, members)


async def test_writes_are_back_within_seconds_of_a_crash(
    members: Members, balancer: Balancer, dice: random.Random
) -> None:
    crowd = await gather_crowd(members, balancer, dice)
    took_s: list[float] = []

    async with asyncio.TaskGroup() as group:
        with crowd.busy(group):
            for _ in range(CRASHES):
                await crowd.writes_back_s(time.monotonic())
                homeserver = dice.choice(members.homeservers)
                crashed_s = time.monotonic()
                await homeserver.kill()
                took_s.append(await crowd.writes_back_s(crashed_s))
                await homeserver.start()

    sys.stdout.write(f"writes were back after {took_s} s\n")
    await crowd.check()
    assert max(took_s) <= WRITES_BACK_S


def _say_what_was_seen(crowd: Crowd, members: Members) -> None:
    sent = sum(len(sender.acknowledged) for sender in crowd.senders)
    sys.stdout.write(f"{sent} messages, {len(crowd.failures)} requests repeated\n")
    sys.stdout.write("\n".join(members.complaints[:20]) + "\n")
