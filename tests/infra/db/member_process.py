"""Writes under a lease until it is lost, saying what was stored (see test_fencing)."""

import asyncio
import sys

from tests.infra.db.members import member, under
from tremula.infra.config.tree import PostgresUrl
from tremula.infra.db import DatabaseUnavailable, SlotLost, WriterLease
from tremula.infra.slots import SlotLease


async def write(url: str) -> None:
    """Write one row after the other."""
    numbers = [int(number) for number in sys.stdin.readline().split()]
    slot = SlotLease(*numbers[2:])
    async with member(PostgresUrl(url), WriterLease(*numbers[:2])) as db:
        nid = 0
        while True:
            nid += 1
            try:
                await db.commit(under(slot, nid))
            except SlotLost:
                sys.stdout.write("lost\n")
                return
            except DatabaseUnavailable:
                # PostgreSQL has ended the session of who stopped amid a batch.
                await asyncio.sleep(0)
            else:
                sys.stdout.write(f"{nid}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1]))
