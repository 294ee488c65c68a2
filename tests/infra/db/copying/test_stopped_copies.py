"""A copy that is killed goes on where it was, and nobody uses it before."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.infra.db.copying import killed_copy
from tests.infra.db.copying.copies import (
    OWN,
    Recorder,
    Stopped,
    StopsBeforeVerifying,
    copy,
    dump,
    fill,
    run,
)
from tests.infra.db.things import names, open_with_things
from tremula.infra.config.tree import SqliteFile
from tremula.infra.db import CopyUnfinished, find_server_name
from tremula.infra.db.copy_marker import mark
from tremula.infra.db.copying.store import open_store

ROOT = Path(__file__).parents[4]
# A transaction of twenty pages, and some.
THINGS = 10_600
# Where it is killed, and how many things it has copied for good by then.
POINTS = [
    ("begun copying", 1, 0),
    ("advanced things", 3, 0),
    ("advanced things", 22, 10_000),
    ("copied things", 1, THINGS),
    ("begun verifying", 1, THINGS),
    ("verified things", 1, THINGS),
]


@pytest.mark.parametrize(("point", "nth", "kept"), POINTS)
@pytest.mark.parametrize(
    "engines", [("sqlite", "postgres"), ("postgres", "sqlite")], indirect=True
)
async def test_a_killed_copy_goes_on_where_it_was(
    source: DatabaseSource, target: DatabaseSource, point: str, nth: int, kept: int
) -> None:
    await fill(source, THINGS)
    await _copy_until_killed(source, target, point, nth)

    with pytest.raises(CopyUnfinished, match=OWN):
        await open_with_things(target)
    recorder = await copy(source, target)

    assert recorder.advances[_first(recorder, "things")] == ("things", kept)
    assert recorder.tables["things"] == THINGS
    assert await dump(target) == await dump(source)
    db = await open_with_things(target)
    assert await find_server_name(db) == OWN
    await db.close()


async def test_a_copy_is_marked_before_anything_else(
    source: DatabaseSource, target: DatabaseSource
) -> None:
    """As it is when it was killed before there were tables."""
    await fill(source, 2)
    async with open_store(target) as store:
        await mark(store, OWN)
    with pytest.raises(CopyUnfinished):
        await open_with_things(target)

    await copy(source, target)

    db = await open_with_things(target)
    assert await names(db) == ["thing 1", "thing 2"]
    await db.close()


DAMAGES = [
    "UPDATE things SET name = 'thing 1' || name WHERE thing_nid = 7",
    "UPDATE things SET data = NULL WHERE thing_nid = 7",
    "DELETE FROM things WHERE thing_nid = 7",
    "INSERT INTO things (thing_nid, name) VALUES (-7, 'odd')",
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_differs_from_the_source_is_found_and_copied_anew(
    source: DatabaseSource, target: DatabaseSource, damage: str
) -> None:
    await fill(source, 600)
    with pytest.raises(Stopped):
        await copy(source, target, StopsBeforeVerifying())
    await run(target, damage)

    with pytest.raises(CopyUnfinished, match=" in things;"):
        await copy(source, target)
    with pytest.raises(CopyUnfinished, match="unfinished copy"):
        await open_with_things(target)

    recorder = await copy(source, target)
    assert recorder.advances[_first(recorder, "things")] == ("things", 0)
    assert await dump(target) == await dump(source)


async def test_a_source_that_was_used_meanwhile_is_copied_as_it_is_now(
    source: DatabaseSource, target: DatabaseSource
) -> None:
    await fill(source, 600)
    with pytest.raises(Stopped):
        await copy(source, target, StopsBeforeVerifying())
    await run(source, "UPDATE things SET name = 'changed' WHERE thing_nid = 300")

    with pytest.raises(CopyUnfinished, match=" in things;"):
        await copy(source, target)
    await copy(source, target)

    assert await dump(target) == await dump(source)


async def test_a_unique_value_that_has_moved_meanwhile_is_no_hindrance(
    source: DatabaseSource, target: DatabaseSource
) -> None:
    await fill(source, 600)
    with pytest.raises(Stopped):
        await copy(source, target, StopsBeforeVerifying())
    await run(
        source,
        "UPDATE things SET name = 'changed' WHERE thing_nid = 300;"
        " INSERT INTO things (thing_nid, name) VALUES (601, 'thing 300');",
    )

    recorder = await copy(source, target)

    assert recorder.tables["things"] == 601
    assert sum(rows for table, rows in recorder.advances if table == "things") == 1_202
    assert await dump(target) == await dump(source)


def _first(recorder: Recorder, table: str) -> int:
    return [name for name, _ in recorder.advances].index(table)


async def _copy_until_killed(
    source: DatabaseSource, target: DatabaseSource, point: str, nth: int
) -> None:
    databases = [
        str(each.path) if isinstance(each, SqliteFile) else each.url
        for each in (source, target)
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", killed_copy.__name__, *databases, point, str(nth)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    async with asyncio.timeout(60):
        assert await process.wait() == -signal.SIGKILL
