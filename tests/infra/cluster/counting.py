"""Members over real PostgreSQL and NATS whose command counts: read, then write."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from msgspec import Struct

from tremula.infra.clock import SystemClock
from tremula.infra.cluster.joining import Machinery, Membership, joined
from tremula.infra.config import BusUrls, Cluster, PostgresUrl
from tremula.infra.db import Statements
from tremula.infra.metrics import Metrics
from tremula.infra.slots import CallTypes, slot_of
from tremula.infra.supervisor import Supervisor


class Count(Struct, frozen=True):
    """A command: count on by so many; the answer is how many there are."""

    times: int = 1


@dataclass(frozen=True, slots=True)
class Member:
    """A process, and what it has of the cluster."""

    membership: Membership
    supervisor: Supervisor

    async def count(self, key: str, command: Count) -> int:
        """The handler: read, then write under the lease."""
        membership = self.membership
        lease = membership.slots.lease(key)
        row = await membership.database.first(
            "SELECT pos FROM rooms_followers_derived WHERE name = 'count'"
        )
        counted = command.times + (0 if row is None else int(row[0]))
        unit = Statements(lease=lease)
        unit.run(
            "INSERT INTO rooms_followers_derived (name, version, pos)"
            " VALUES ('count', 1, :pos) ON CONFLICT (name) DO UPDATE SET pos = :pos",
            pos=counted,
        )
        await membership.database.commit(unit)
        return counted

    async def call(self, key: str) -> int:
        """Have it counted by whoever holds the slot."""
        counted: int = await self.membership.slots.call("count", key, Count())
        return counted

    def key(self) -> str:
        """A key whose slot this member holds."""
        held = self.membership.keeper.slots
        return next(key for key in map(str, range(100_000)) if slot_of(key) in held)


@asynccontextmanager
async def member(source: PostgresUrl, bus_url: str) -> AsyncGenerator[Member]:
    """One member, which hands over at its end."""
    metrics = Metrics()
    supervisor = Supervisor(metrics)
    machinery = Machinery(supervisor, SystemClock(), metrics)
    cluster = Cluster(bus=BusUrls((bus_url,)))
    async with joined(source, cluster, "example.org", machinery) as membership:
        member = Member(membership, supervisor)
        types = CallTypes(Count, int)
        membership.slots.register("count", member.count, types)
        await membership.slots.open()
        try:
            yield member
        finally:
            await membership.keeper.leave()
            await supervisor.stop()
