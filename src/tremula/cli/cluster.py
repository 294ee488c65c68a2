"""``tremula cluster``: the processes that are one server."""

import asyncio
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from cyclopts import App

from tremula.cli.failures import CommandFailed, ExitCode, database_failures
from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.cli.table import print_table
from tremula.infra.config import PostgresUrl

if TYPE_CHECKING:
    from tremula.cli.backlogs import Backlogs
    from tremula.infra.cluster.members import Member, Sight

app = App("cluster")


@app.command
def status(*, source: Source = DEFAULT_SOURCE) -> None:
    """List the members and what they hold, and what waits in the server's queues.

    A member's lag is how long the oldest of what it has stored, or has heard of, has
    been waiting to be shown there; its clock is that of its machine, compared with the
    database's, which members go by. Fails if nobody does the work of some slots.
    """
    from tremula.cli.backlogs import print_backlogs

    database = source.load().database
    if not isinstance(database, PostgresUrl):
        raise CommandFailed(
            "a cluster has a PostgreSQL database; this one is SQLite's", ExitCode.CONFIG
        )
    with database_failures():
        sight, backlogs = asyncio.run(_look(database))
    if sight.members:
        _print_members(sight)
    print_backlogs(backlogs, now_ms=int(time.time() * 1000))
    _check_slots(sight)


async def _look(database: PostgresUrl) -> "tuple[Sight, Backlogs]":
    from tremula.cli.backlogs import read_backlogs
    from tremula.infra.cluster.leases_storage import PostgresLeases
    from tremula.infra.db.inspection import inspect_database
    from tremula.infra.db.postgres_readers import PostgresReaders

    condition = await inspect_database(database)
    if condition.pending_migrations:
        raise CommandFailed(
            "no process of this version, or of a newer one, has used this database yet",
            ExitCode.DATABASE,
        )
    leases, readers = PostgresLeases(database.url), PostgresReaders(database.url)
    try:
        return await leases.look(), await read_backlogs(readers)
    finally:
        await readers.close()
        await leases.close()


def _print_members(sight: "Sight") -> None:
    held = _held(sight)
    print_table(
        (
            "member",
            "address",
            "version",
            "writer",
            "slots",
            "commands",
            "lag",
            "clock",
            "heard of",
            "state",
        ),
        [_row(each, held[each.id]) for each in sight.members],
    )
    sys.stdout.write("\n")


def _row(member: "Member", slots: int) -> tuple[str, ...]:
    return (
        member.id,
        member.address,
        member.version,
        str(member.writer),
        str(slots),
        str(member.load.commands),
        f"{member.load.lag_ms / 1000:.1f} s",
        _clock(member.clock_behind_ms),
        f"{member.quiet_ms / 1000:.1f} s ago",
        _state(member),
    )


def _clock(behind_ms: int | None) -> str:
    from tremula.infra.cluster.cluster_clock import TOLERATED_MS

    if behind_ms is None:
        return "unknown"
    if abs(behind_ms) <= TOLERATED_MS:
        return "on time"
    direction = "behind" if behind_ms > 0 else "ahead"
    return f"{abs(behind_ms) / 1000:.1f} s {direction}"


def _state(member: "Member") -> str:
    if member.is_late:
        return "late: will be taken for dead"
    if member.is_leaving:
        return "leaving"
    return "ready" if member.is_reachable else "starting, or without the bus"


def _check_slots(sight: "Sight") -> None:
    """Say that all slots are held, or fail."""
    if not sight.members:
        raise CommandFailed("no process is a member now", ExitCode.UNHEALTHY)
    held = _held(sight)
    nobodys = len(sight.holdings) - sum(held[each.id] for each in sight.members)
    if nobodys:
        raise CommandFailed(
            f"nobody holds {nobodys} of {len(sight.holdings)} slots; in a few seconds"
            " somebody should",
            ExitCode.UNHEALTHY,
        )
    sys.stdout.write(f"\nAll {len(sight.holdings)} slots are held.\n")


def _held(sight: "Sight") -> Counter[str | None]:
    return Counter(each.member for each in sight.holdings)
