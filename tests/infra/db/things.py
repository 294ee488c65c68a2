"""A table for the tests of the database itself."""

from typing import Final

from prometheus_client import CollectorRegistry

from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db import Database, Reader, Statements, Unit, open_database
from tremula.infra.db.migrations import Migration, all_migrations

THINGS: Final = Migration(
    9000,
    "things",
    """
    CREATE TABLE things (
        thing_nid BIGINT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        data BYTEA
    );

    CREATE TABLE others (
        name TEXT NOT NULL,
        number BIGINT NOT NULL,
        PRIMARY KEY (name, number)
) /* sqlite: WITHOUT ROWID */;
    """,
)


async def open_with_things(
    source: SqliteFile | PostgresUrl, registry: CollectorRegistry | None = None
) -> Database:
    """Open *source* with the tables of this module."""
    migrations = [*all_migrations(), THINGS]
    return await open_database(source, registry=registry, migrations=migrations)


def insert_thing(unit: Unit, nid: int, name: str, data: bytes | None = None) -> None:
    """Add a row."""
    unit.run(
        "INSERT INTO things (thing_nid, name, data) VALUES (:nid, :name, :data)",
        nid=nid,
        name=name,
        data=data,
    )


def thing(nid: int, name: str, data: bytes | None = None) -> Statements:
    """A unit with one row."""
    unit = Statements()
    insert_thing(unit, nid, name, data)
    return unit


async def names(db: Reader) -> list[str]:
    """Every name, by number."""
    return [
        name for (name,) in await db.all("SELECT name FROM things ORDER BY thing_nid")
    ]
