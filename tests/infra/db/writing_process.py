"""Writes until it is killed, and says what was acknowledged (see test_durability)."""

import asyncio
import sys
from pathlib import Path

from tests.infra.db.things import insert_thing, open_with_things
from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db import Database
from tremula.infra.journal import Journal

WRITERS = 8


async def write(source: SqliteFile | PostgresUrl) -> None:
    """Write units of two rows from several writers at once."""
    journal = await Journal.open(await open_with_things(source))
    await asyncio.gather(*(_write_on(journal) for _ in range(WRITERS)))


async def _write_on(journal: Journal) -> None:
    while True:
        unit = journal.unit()
        pos = unit.pos()
        insert_thing(unit, pos, f"thing {pos}")
        unit.run("INSERT INTO others (name, number) VALUES ('o', :pos)", pos=pos)
        await journal.commit(unit)
        sys.stdout.write(f"{pos}\n")
        sys.stdout.flush()


def _source(text: str) -> SqliteFile | PostgresUrl:
    return PostgresUrl(text) if "://" in text else SqliteFile(Path(text))


async def positions_of(db: Database) -> tuple[list[int], list[int]]:
    """The positions stored, as each of the unit's two tables has them."""
    things = await db.scan("SELECT thing_nid FROM things ORDER BY thing_nid")
    others = await db.scan("SELECT number FROM others ORDER BY number")
    return [pos for (pos,) in things], [pos for (pos,) in others]


if __name__ == "__main__":
    asyncio.run(write(_source(sys.argv[1])))
