"""``tremula cluster``: the processes that are one server."""

import asyncio
import sys
from collections import Counter
from typing import TYPE_CHECKING

from cyclopts import App

from tremula.cli.failures import CommandFailed, ExitCode, database_failures
from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.cli.table import print_table
from tremula.infra.config import PostgresUrl

if TYPE_CHECKING:
    from tremula.infra.cluster.members import Member, Sight

app = App("cluster")


@app.command
def status(*, source: Source = DEFAULT_SOURCE) -> None:
    """List the members, what they hold, and how long ago they were heard of.

    Fails if nobody does the work of some slots.
    """
    database = source.load().database
    if not isinstance(database, PostgresUrl):
        raise CommandFailed(
            "a cluster has a PostgreSQL database; this one is SQLite's", ExitCode.CONFIG
        )
    with database_failures():
        sight = asyncio.run(_look(database.url))
    if not sight.members:
        raise CommandFailed("no process is a member now", ExitCode.UNHEALTHY)
    held = Counter(each.member for each in sight.holdings)
    print_table(
        ("member", "address", "version", "writer", "slots", "heard of", "state"),
        [_row(each, held[each.id]) for each in sight.members],
    )
    nobodys = len(sight.holdings) - sum(held[each.id] for each in sight.members)
    if nobodys:
        raise CommandFailed(
            f"nobody holds {nobodys} of {len(sight.holdings)} slots; in a few seconds"
            " somebody should",
            ExitCode.UNHEALTHY,
        )
    sys.stdout.write(f"All {len(sight.holdings)} slots are held.\n")


async def _look(url: str) -> "Sight":
    from tremula.infra.cluster.leases_storage import PostgresLeases

    leases = PostgresLeases(url)
    try:
        return await leases.look()
    finally:
        await leases.close()


def _row(member: "Member", slots: int) -> tuple[str, ...]:
    return (
        member.id,
        member.address,
        member.version,
        str(member.writer),
        str(slots),
        f"{member.quiet_ms / 1000:.1f} s ago",
        _state(member),
    )


def _state(member: "Member") -> str:
    if member.is_late:
        return "late: will be taken for dead"
    if member.is_leaving:
        return "leaving"
    return "ready" if member.is_reachable else "starting, or without the bus"
