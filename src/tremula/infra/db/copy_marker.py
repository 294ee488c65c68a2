"""The mark of a database that is being filled with a copy of another one.

It is a table of its own, and the first thing that a copy writes: while it is there, no
server opens the database. It goes with the copy's last transaction, so that a finished
copy holds what the source holds and nothing else.
"""

from typing import Final, LiteralString

from tremula.infra.db.errors import CopyUnfinished
from tremula.infra.db.migrations import Migratable, script_for
from tremula.infra.db.reader import Engine

MARKER_TABLE: Final = "infra_copy"

# server_name: whose database is copied. is_emptied: whether the rows that migrations
# made are gone, so that all there is was copied.
_CREATE: Final = """
    CREATE TABLE infra_copy (
        server_name TEXT PRIMARY KEY,
        is_emptied SMALLINT NOT NULL
    );
"""
_EXISTS: Final[dict[Engine, LiteralString]] = {
    Engine.SQLITE: "SELECT name FROM sqlite_schema WHERE name = 'infra_copy'",
    Engine.POSTGRES: "SELECT 1 WHERE to_regclass('infra_copy') IS NOT NULL",
}


async def find_copied_server(db: Migratable) -> str | None:
    """Whose unfinished copy *db* is; None if it is none."""
    if not await db.all(_EXISTS[db.engine]):
        return None
    ((server_name,),) = await db.all("SELECT server_name FROM infra_copy")
    return str(server_name)


async def check_finished(db: Migratable) -> None:
    """See that *db* is no copy that stopped half way.

    Raises:
        CopyUnfinished: it is.
    """
    server_name = await find_copied_server(db)
    if server_name is not None:
        raise CopyUnfinished(
            f"the database is an unfinished copy of that of {server_name}; run"
            " `tremula database copy` again, with the same source, to finish it"
        )


async def mark(db: Migratable, server_name: str) -> None:
    """Begin a copy of the database of *server_name*."""
    quoted = server_name.replace("'", "''")
    insert = f"INSERT INTO infra_copy VALUES ('{quoted}', 0);"  # noqa: S608 - quoted
    await db.run_script(script_for(db.engine, _CREATE) + insert)


async def is_emptied(db: Migratable) -> bool:
    """Whether all rows of the copy came from the source."""
    ((emptied,),) = await db.all("SELECT is_emptied FROM infra_copy")
    return bool(emptied)


async def mark_emptied(db: Migratable) -> None:
    """Write down that from now on all rows come from the source."""
    await db.run_script("UPDATE infra_copy SET is_emptied = 1;")


async def unmark(db: Migratable) -> None:
    """Finish the copy: from now on it is a database like any other."""
    await db.run_script("DROP TABLE infra_copy;")
