"""Which databases are opened, and as what."""

from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.infra.db.things import THINGS, names, open_with_things, thing
from tremula.infra.config.tree import PostgresUrl, SqliteFile
from tremula.infra.db import (
    Database,
    DatabaseInUse,
    DatabaseRefused,
    DatabaseTooNew,
    ServerNameChanged,
    check_server_name,
    find_server_name,
    open_database,
)
from tremula.infra.db.migrations import Migration, all_migrations


async def test_what_was_stored_is_there_after_reopening(
    database_source: DatabaseSource,
) -> None:
    db = await open_with_things(database_source)
    await db.commit(thing(1, "a"))
    await db.close()

    db = await open_with_things(database_source)

    assert await names(db) == ["a"]
    await db.close()


async def test_a_database_is_open_only_once(
    database_source: DatabaseSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tremula.infra.db.postgres._LOCK_WAIT_S", 0.1)
    db = await open_database(database_source)

    with pytest.raises(DatabaseInUse):
        await open_database(database_source)

    await db.close()
    await (await open_database(database_source)).close()


async def test_a_newer_database_is_refused(database_source: DatabaseSource) -> None:
    await (await open_with_things(database_source)).close()

    with pytest.raises(DatabaseTooNew, match="9000"):
        await open_database(database_source)


async def test_a_missing_migration_is_applied_whatever_its_number(
    database_source: DatabaseSource,
) -> None:
    await (await open_with_things(database_source)).close()
    earlier = Migration(8999, "earlier", "CREATE TABLE earlier (a BIGINT PRIMARY KEY);")

    db = await open_database(
        database_source, migrations=[*all_migrations(), earlier, THINGS]
    )

    assert await db.all("SELECT a FROM earlier") == []
    await db.close()


async def test_a_failing_migration_leaves_nothing_behind(
    database_source: DatabaseSource,
) -> None:
    good = Migration(9000, "good", "CREATE TABLE good (a BIGINT PRIMARY KEY);")
    bad = Migration(9001, "bad", "INSERT INTO good (no_such) VALUES (1);")

    with pytest.raises(Exception, match="no_such"):
        await open_database(database_source, migrations=[*all_migrations(), good, bad])

    await (await open_database(database_source)).close()


async def test_the_server_name_cannot_change(database: Database) -> None:
    assert await find_server_name(database) is None
    await check_server_name(database, "one.example")
    await check_server_name(database, "one.example")

    with pytest.raises(ServerNameChanged, match=r"one\.example"):
        await check_server_name(database, "two.example")

    assert await find_server_name(database) == "one.example"


async def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefused, match="missing"):
        await open_database(SqliteFile(tmp_path / "missing" / "tremula.db"))


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tremula.db"
    path.write_bytes(b"no database" * 1_000)

    with pytest.raises(DatabaseRefused, match=r"tremula\.db"):
        await open_database(SqliteFile(path))

    path.unlink()
    await (await open_database(SqliteFile(path))).close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres@127.0.0.1:1/none",
        "postgresql://postgres@127.0.0.1:nonsense/none",
    ],
)
async def test_a_postgresql_out_of_reach_is_refused(url: str) -> None:
    with pytest.raises(DatabaseRefused):
        await open_database(PostgresUrl(url))
