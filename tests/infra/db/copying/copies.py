"""What tests of copies do again and again."""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.conftest import DatabaseSource
from tests.infra.db.things import THINGS, open_with_things
from tremula.infra.db import check_server_name
from tremula.infra.db.copying import Step, Summary, copy_database
from tremula.infra.db.copying.store import open_store
from tremula.infra.db.copying.table import tables_of
from tremula.infra.db.migrations import all_migrations
from tremula.infra.db.unit import Params, Statements

OWN: Final = "own.test"
WITH_THINGS: Final = [*all_migrations(), THINGS]
INSERT_THING: Final = (
    "INSERT INTO things (thing_nid, name, data) VALUES (:nid, :name, :data)"
)

Dump = dict[str, list[tuple[Any, ...]]]


@dataclass(slots=True)
class Recorder:
    """A ``Progress`` that remembers what it was told."""

    steps: list[tuple[Step, int]] = field(default_factory=list)
    advances: list[tuple[str, int]] = field(default_factory=list)
    tables: dict[str, int] = field(default_factory=dict)
    summaries: dict[str, Summary] = field(default_factory=dict)

    def begun(self, step: Step, rows: int) -> None:
        self.steps.append((step, rows))

    def advanced(self, table: str, rows: int) -> None:
        self.advances.append((table, rows))

    def copied(self, table: str, rows: int) -> None:
        self.tables[table] = rows

    def verified(self, summary: Summary) -> None:
        self.summaries[summary.table] = summary


class Stopped(Exception):
    """What a test stops a copy by."""


class StopsBeforeVerifying(Recorder):
    """A ``Progress`` that ends the copy when all is copied and nothing verified."""

    def begun(self, step: Step, rows: int) -> None:
        if step is Step.VERIFY:
            raise Stopped


async def fill(source: DatabaseSource, things: int, *, owner: str = OWN) -> None:
    """Make *source* the database of *owner*, with so many things."""
    await add(
        source,
        [
            {"nid": nid, "name": f"thing {nid}", "data": bytes([nid % 256])}
            for nid in range(1, things + 1)
        ],
        owner=owner,
    )


async def add(source: DatabaseSource, rows: list[Params], *, owner: str = OWN) -> None:
    """Add *rows* to the things of *owner*."""
    db = await open_with_things(source)
    await check_server_name(db, owner)
    unit = Statements()
    unit.run_many(INSERT_THING, rows)
    await db.commit(unit)
    await db.close()


async def copy(
    source: DatabaseSource, target: DatabaseSource, recorder: Recorder | None = None
) -> Recorder:
    """Copy, with the things; what was told meanwhile."""
    recorder = recorder or Recorder()
    await copy_database(source, target, recorder, migrations=WITH_THINGS)
    return recorder


async def dump(database: DatabaseSource) -> Dump:
    """All rows of all tables."""
    async with open_store(database) as store:
        names = [table.name for table in tables_of(await store.columns())]
        return {
            name: sorted(await store.all(_select(name)), key=repr) for name in names
        }


async def run(database: DatabaseSource, statement: str) -> None:
    """Change *database* behind everybody's back."""
    async with open_store(database) as store:
        await store.run_script(statement)


def _select(table: str) -> str:
    return f"SELECT * FROM {table}"  # noqa: S608 - a table's name
