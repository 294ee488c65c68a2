"""Whose connection a short read on SQLite goes by, and what it sees there."""

import asyncio
from pathlib import Path

import apsw

from tests.conftest import new_database
from tests.infra.db.things import names, open_with_things, thing


async def test_what_is_not_committed_is_never_read(tmp_path: Path) -> None:
    """The writer's connection answers reads too, but not amid its transactions."""
    path = tmp_path / "things.db"
    async with new_database(None, path) as source:
        db = await open_with_things(source)
        onlooker = apsw.Connection(str(path))
        read = early = 0
        for nid in range(50):
            storing = asyncio.ensure_future(db.commit(thing(nid, str(nid))))
            while not storing.done():
                await asyncio.sleep(0)
                seen = len(await names(db))
                ((committed,),) = onlooker.execute("SELECT COUNT(*) FROM things")
                read += 1
                early += seen > committed
            await storing
        onlooker.close()
        await db.close()

    assert read > 50
    assert early == 0


async def test_a_read_after_a_commit_finds_its_pages_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "things.db"
    async with new_database(None, path) as source:
        db = await open_with_things(source)
        await db.commit(thing(1, "a"))
        await names(db)
        await db.commit(thing(2, "b"))

        asked = _reads()
        for_asking = _reads() - asked
        assert await names(db) == ["a", "b"]

        assert _reads() - asked == 2 * for_asking
        await db.close()


def _reads() -> int:
    """How often this process has read from files so far."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    (calls,) = [line.removeprefix("syscr: ") for line in lines if "syscr" in line]
    return int(calls)
