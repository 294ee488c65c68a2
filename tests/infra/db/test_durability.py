"""Acknowledged means durable: kill -9 while several writers write."""

import asyncio
import os
import sys
from pathlib import Path

from tests.conftest import DatabaseSource
from tests.infra.db import writing_process
from tests.infra.db.things import open_with_things
from tests.infra.db.writing_process import positions_of
from tremula.infra.config.tree import SqliteFile
from tremula.infra.journal import Journal

ROOT = Path(__file__).parents[3]
ACKNOWLEDGED_MIN = 100


async def test_every_acknowledged_unit_survives_a_kill(
    database_source: DatabaseSource,
) -> None:
    acknowledged: list[int] = []
    for _ in range(2):
        acknowledged += await _write_and_kill(database_source)

    db = await open_with_things(database_source)
    things, others = await positions_of(db)
    assert set(acknowledged) <= set(things)
    assert things == others, "a unit was stored in part"
    assert len(acknowledged) == len(set(acknowledged))
    assert (await Journal.open(db)).position >= max(things)
    await db.close()


async def _write_and_kill(source: DatabaseSource) -> list[int]:
    """The positions that a process acknowledged before it was killed."""
    target = str(source.path) if isinstance(source, SqliteFile) else source.url
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", writing_process.__name__, target),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    acknowledged: list[int] = []
    async with asyncio.timeout(60):
        while len(acknowledged) < ACKNOWLEDGED_MIN:
            acknowledged.append(int(await process.stdout.readline()))
        process.kill()
        rest = await process.stdout.read()
        await process.wait()
    lines = rest.decode().splitlines(keepends=True)
    return acknowledged + [int(line) for line in lines if line.endswith("\n")]
