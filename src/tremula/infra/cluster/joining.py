"""Makes this process a member of a cluster, and ends that."""

import os
import secrets
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from hashlib import blake2b

import structlog
from msgspec import Struct

from tremula import __version__
from tremula.infra.bus import Bus
from tremula.infra.bus.nats_bus import NatsBus, NatsTrust
from tremula.infra.bus.nats_servers import parse_nats_url
from tremula.infra.clock import Clock
from tremula.infra.cluster.cluster_clock import ClusterClock
from tremula.infra.cluster.in_flight import InFlight
from tremula.infra.cluster.keeper import LeaseKeeper
from tremula.infra.cluster.leases_storage import PostgresLeases
from tremula.infra.cluster.members import LeaseTable
from tremula.infra.cluster.metrics import (
    CallMetrics,
    watch_bus,
    watch_clock,
    watch_leases,
)
from tremula.infra.cluster.slots import ClusterSlots
from tremula.infra.config import Cluster, PostgresUrl
from tremula.infra.db import MemberDatabase, migrate_together, open_member_database
from tremula.infra.metrics import Metrics
from tremula.infra.supervisor import Supervisor

log = structlog.get_logger(__name__)


class Machinery(Struct, frozen=True):
    """What a member's parts lean on."""

    supervisor: Supervisor
    clock: Clock
    metrics: Metrics


class Membership(Struct, frozen=True):
    """What a process has of its cluster.

    ``writer`` is its number among those who write, ``incarnation`` tells it from those
    who had the number before. The bus's subjects of this server
    begin with ``subject``. It holds no slots before ``slots.open()``, when all kinds of
    calls are registered; before it ends, ``keeper.leave()`` hands them over.
    """

    database: MemberDatabase
    writer: int
    incarnation: int
    bus: Bus
    subject: str
    keeper: LeaseKeeper
    slots: ClusterSlots

    def writers(self) -> Collection[int]:
        """The numbers of those that may write, this one among them.

        Whoever is missing writes nothing more, whatever it may still try.
        """
        return {self.writer, *(each.writer for each in self.keeper.members)}


@asynccontextmanager
async def joined(
    source: PostgresUrl, cluster: Cluster, server_name: str, machinery: Machinery
) -> AsyncIterator[Membership]:
    """Be a member, until the end; the supervisor's tasks must have ended by then.

    Raises:
        DatabaseRefused: the database can't be used, or not as it is.
        DatabaseUnavailable: it can't be reached now.
    """
    await migrate_together(source)
    member = secrets.token_hex(8)
    clock = machinery.clock if isinstance(machinery.clock, ClusterClock) else None
    if clock is not None:
        watch_clock(clock, machinery.metrics.registry)
    leases = PostgresLeases(source.url, clock)
    try:
        lease = await leases.join(member, _address(), __version__)
        log.info("cluster_joined", member=member, writer=lease.writer)
        parts = _build(leases, member, cluster, server_name, machinery)
        try:
            database = await open_member_database(
                source, lease, registry=machinery.metrics.registry
            )
            try:
                yield Membership(
                    database=database,
                    writer=lease.writer,
                    incarnation=lease.epoch,
                    bus=parts.bus,
                    subject=parts.subject,
                    keeper=parts.keeper,
                    slots=parts.slots,
                )
            finally:
                await database.close()
        finally:
            await parts.keeper.withdraw()
    finally:
        await leases.close()


class _Parts(Struct, frozen=True):
    bus: Bus
    subject: str
    keeper: LeaseKeeper
    slots: ClusterSlots


def _build(
    leases: LeaseTable,
    member: str,
    cluster: Cluster,
    server_name: str,
    machinery: Machinery,
) -> _Parts:
    """The parts of a member, whose heart beats from now on."""
    supervisor, clock = machinery.supervisor, machinery.clock
    registry, subject = machinery.metrics.registry, _subject(server_name)
    bus = _bus(cluster, name=f"tremula {member}")
    in_flight = InFlight(clock.monotonic_s)
    keeper = LeaseKeeper(
        leases, member, bus=bus, subject=subject, clock=clock, in_flight=in_flight
    )
    slots = ClusterSlots(
        keeper,
        bus=bus,
        subject=subject,
        supervisor=supervisor,
        clock=clock,
        in_flight=in_flight,
        metrics=CallMetrics(registry),
    )
    watch_bus(bus, registry)
    watch_leases(keeper, in_flight, registry)
    supervisor.keep_running("bus", bus.run)
    supervisor.keep_running("leases", keeper.run)
    return _Parts(bus, subject, keeper, slots)


def _bus(cluster: Cluster, *, name: str) -> NatsBus:
    assert cluster.bus is not None, "without a bus there is one process"
    return NatsBus(
        [parse_nats_url(url) for url in cluster.bus.urls],
        name=name,
        trust=NatsTrust(cluster.bus_ca_file, cluster.bus_credentials_file),
        echo=False,
    )


def _subject(server_name: str) -> str:
    """Servers of other names may use the same NATS."""
    return f"tremula.{blake2b(server_name.encode(), digest_size=8).hexdigest()}"


def _address() -> str:
    """Where this process is, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"
