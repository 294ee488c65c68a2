"""A member that does what it is asked for until others take it for dead."""

import asyncio
import sys

from tests.infra.cluster.counting import member
from tremula.infra.config import PostgresUrl


async def run(database_url: str, bus_url: str) -> None:
    """Be a member; say so when that is over."""
    ended = asyncio.Event()
    async with member(PostgresUrl(database_url), bus_url) as this:
        this.membership.keeper.on_ended(ended.set)
        await ended.wait()
        held = len(this.membership.keeper.slots)
    sys.stdout.write(f"ended {held}\n")


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
