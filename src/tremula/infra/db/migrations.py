"""Brings the schema up to date at start, and refuses what it can't serve.

Files are ``src/tremula/migrations/NNNN_name.sql``, written for PostgreSQL, forward
only and never edited once released. For SQLite ``BIGINT`` becomes ``INTEGER`` and
``BYTEA`` ``BLOB``, tables are made ``STRICT`` so that types are checked there too, and
``/* sqlite: WITHOUT ROWID */`` loses its comment marks, as ``/* postgres: … */`` does
for PostgreSQL. There every ``TEXT`` sorts by code point (``COLLATE "C"``) as on SQLite.
"""

import re
from importlib import resources
from typing import Final, LiteralString, Protocol

from msgspec import Struct

from tremula.infra.db.database import Database
from tremula.infra.db.errors import Conflict, DatabaseTooNew, ServerNameChanged
from tremula.infra.db.reader import Engine, Reader, Row
from tremula.infra.db.unit import Statements

_FILE: Final = re.compile(r"(?P<number>\d{4})_(?P<name>\w+)\.sql")
_SQLITE_MARK: Final = re.compile(r"/\*\s*sqlite:\s*(.*?)\s*\*/", re.DOTALL)
_POSTGRES_MARK: Final = re.compile(r"/\*\s*postgres:\s*(.*?)\s*\*/", re.DOTALL)
_TABLE_END: Final = re.compile(r"^\)(?P<options>[^;]*);", re.MULTILINE)
_TEXT_COLUMN: Final = re.compile(r"(?<!AS )\bTEXT\b(?! COLLATE)")
_SQLITE_TYPES: Final = (
    (re.compile(r"\b(?:BIGINT|SMALLINT)\b"), "INTEGER"),
    (re.compile(r"\bBYTEA\b"), "BLOB"),
    (re.compile(r"\bDOUBLE PRECISION\b"), "REAL"),
)

MIGRATIONS_TABLE: Final = "infra_migrations"
_LIST_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS infra_migrations (
        number BIGINT PRIMARY KEY,
        name TEXT NOT NULL
    );
"""


class Migration(Struct, frozen=True):
    """One file of ``migrations/``."""

    number: int
    name: str
    sql: str


class Migratable(Protocol):
    """A database whose schema can be changed."""

    @property
    def engine(self) -> Engine:
        """Which engine runs the statements."""
        ...

    async def all(self, sql: LiteralString, /) -> list[Row]:
        """Rows of a short look-up."""
        ...

    async def run_script(self, script: str) -> None:
        """Run the statements of *script* in one transaction, whole or not at all."""
        ...


def all_migrations() -> list[Migration]:
    """Every migration that this program knows, in order."""
    files = (resources.files("tremula") / "migrations").iterdir()
    found = [
        Migration(int(match["number"]), match["name"], file.read_text("utf-8"))
        for file in files
        if (match := _FILE.fullmatch(file.name))
    ]
    return sorted(found, key=lambda migration: migration.number)


async def migrate(db: Migratable, migrations: list[Migration]) -> None:
    """Apply those of *migrations* that the database lacks, all in one transaction.

    Raises:
        DatabaseTooNew: the database has one that is not among them.
    """
    await db.run_script(script_for(db.engine, _LIST_TABLE))
    rows = await db.all("SELECT number, name FROM infra_migrations ORDER BY number")
    applied = {int(number): str(name) for number, name in rows}
    known = {migration.number for migration in migrations}
    if unknown := [number for number in applied if number not in known]:
        raise DatabaseTooNew(
            f"the database has migration {unknown[-1]:04} ({applied[unknown[-1]]}),"
            " which this version of Tremula does not know; run a newer version"
        )
    pending = [each for each in migrations if each.number not in applied]
    if pending:
        await db.run_script("\n".join(_script_of(db.engine, each) for each in pending))


async def check_server_name(db: Database, server_name: str) -> None:
    """Claim a new database for *server_name*, or see that it is the same as ever.

    Raises:
        ServerNameChanged: the database belongs to another name.
    """
    found = await find_server_name(db)
    if found is None:
        unit = Statements()
        unit.run(
            "INSERT INTO infra_server (id, server_name) VALUES (1, :server_name)",
            server_name=server_name,
        )
        try:
            await db.commit(unit)
        except Conflict:
            # Another process that began at the same time was faster.
            found = await find_server_name(db)
        else:
            return
    if found != server_name:
        raise ServerNameChanged(
            f"the database belongs to the server {found}; the name of a server can't"
            f" change to {server_name}, because every user and room ID contains it"
        )


async def find_server_name(db: Reader) -> str | None:
    """The server that the database belongs to; None if nobody claimed it yet."""
    row = await db.first("SELECT server_name FROM infra_server WHERE id = 1")
    return None if row is None else str(row[0])


def script_for(engine: Engine, sql: str) -> str:
    """Turn the text of a migration into that of *engine*."""
    if engine is Engine.POSTGRES:
        sql = _POSTGRES_MARK.sub(r"\1", sql)
        return _TEXT_COLUMN.sub('TEXT COLLATE "C"', sql)
    sql = _SQLITE_MARK.sub(r"\1", sql)
    for pattern, sqlite_type in _SQLITE_TYPES:
        sql = pattern.sub(sqlite_type, sql)
    return _TABLE_END.sub(_strict, sql)


def _strict(match: re.Match[str]) -> str:
    options = match["options"].strip()
    return f") {options}, STRICT;" if options else ") STRICT;"


def _script_of(engine: Engine, migration: Migration) -> str:
    return (
        script_for(engine, migration.sql)
        + "\nINSERT INTO infra_migrations (number, name)"
        + f" VALUES ({migration.number}, '{migration.name}');"
    )
