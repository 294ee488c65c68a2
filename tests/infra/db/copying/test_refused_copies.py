"""What is not copied, or not written to, and what is said of it."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
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
from tests.infra.db.things import open_with_things
from tremula.infra.config.tree import SqliteFile
from tremula.infra.db import (
    CopyRefused,
    DatabaseInUse,
    DatabaseRefused,
    DatabaseTooNew,
    check_server_name,
    open_database,
)
from tremula.infra.db.copying import copy_database
from tremula.infra.db.migrations import Migration, all_migrations


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to be expected of who has a database."""
    monkeypatch.setattr("tremula.infra.db.postgres._LOCK_WAIT_S", 0)


def same_elsewhere(source: DatabaseSource, folder: Path) -> DatabaseSource:
    """The same database under another name."""
    if isinstance(source, SqliteFile):
        link = folder / "link.db"
        link.symlink_to(source.path)
        return SqliteFile(link)
    return replace(source, url=re.sub(r"127\.0\.0\.1", "localhost", source.url))


async def test_a_database_is_not_copied_to_itself(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    await fill(database_source, 1)
    for same in (database_source, same_elsewhere(database_source, tmp_path)):
        with pytest.raises(CopyRefused, match="the same database"):
            await copy(database_source, same)


async def test_a_target_that_holds_a_server_is_left_alone(
    source: DatabaseSource, target: DatabaseSource
) -> None:
    await fill(source, 1)
    await fill(target, 2, owner="other.test")
    before = await dump(target)

    with pytest.raises(CopyRefused, match=r"holds the server other\.test already"):
        await copy(source, target)

    assert await dump(target) == before


async def test_a_finished_copy_is_left_alone(
    source: DatabaseSource, target: DatabaseSource
) -> None:
    await fill(source, 1)
    await copy(source, target)

    with pytest.raises(CopyRefused, match=f"holds the server {OWN} already"):
        await copy(source, target)


async def test_an_unfinished_copy_of_another_server_is_left_alone(
    source: DatabaseSource, target: DatabaseSource, tmp_path: Path
) -> None:
    await fill(source, 1)
    with pytest.raises(Stopped):
        await copy(source, target, StopsBeforeVerifying())
    another = SqliteFile(tmp_path / "another.db")
    await fill(another, 1, owner="other.test")

    with pytest.raises(CopyRefused, match=f"an unfinished copy of the server {OWN}"):
        await copy(another, target)


async def test_a_database_of_another_program_is_left_alone(
    source: DatabaseSource, target: DatabaseSource
) -> None:
    await fill(source, 1)
    await run(target, "CREATE TABLE users (name VARCHAR(9));")

    with pytest.raises(CopyRefused, match="holds tables that are not Tremula's"):
        await copy(source, target)


async def test_a_source_without_a_server_is_refused(
    source: DatabaseSource, target: DatabaseSource, tmp_path: Path
) -> None:
    with pytest.raises(CopyRefused, match="the source is empty"):
        await copy(SqliteFile(tmp_path / "none.db"), target)
    assert not (tmp_path / "none.db").exists()

    await (await open_with_things(source)).close()
    with pytest.raises(CopyRefused, match="the source is empty"):
        await copy(source, target)


async def test_a_source_of_another_version_is_refused(
    source: DatabaseSource, target: DatabaseSource
) -> None:
    await fill(source, 1)
    await run(source, "DELETE FROM infra_migrations WHERE number = 9000")
    with pytest.raises(CopyRefused, match="start the server of this version on it"):
        await copy(source, target)

    await run(source, "INSERT INTO infra_migrations VALUES (9000, 'a'), (9999, 'b')")
    with pytest.raises(DatabaseTooNew, match="a newer Tremula"):
        await copy(source, target)


async def test_an_unfinished_copy_is_no_source(
    source: DatabaseSource, target: DatabaseSource, tmp_path: Path
) -> None:
    await fill(source, 1)
    with pytest.raises(Stopped):
        await copy(source, target, StopsBeforeVerifying())

    with pytest.raises(CopyRefused, match="the source is an unfinished copy itself"):
        await copy(target, SqliteFile(tmp_path / "third.db"))


async def test_what_a_server_has_open_is_refused(
    source: DatabaseSource, target: DatabaseSource
) -> None:
    await fill(source, 1)
    reading = await open_with_things(source)
    with pytest.raises(DatabaseInUse):
        await copy(source, target)
    await reading.close()

    writing = await open_database(target)
    with pytest.raises(DatabaseInUse):
        await copy(source, target)
    await writing.close()


async def test_tables_without_a_key_or_of_an_unknown_type_are_refused(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    await fill(database_source, 1)
    await run(database_source, "CREATE TABLE keyless (a TEXT);")
    with pytest.raises(CopyRefused, match="the table keyless has no primary key"):
        await copy(database_source, SqliteFile(tmp_path / "other.db"))

    await run(
        database_source,
        "DROP TABLE keyless; CREATE TABLE odd (a NUMERIC, PRIMARY KEY (a));",
    )
    with pytest.raises(
        CopyRefused, match=r"odd\.a is of the unknown type (?i:numeric)"
    ):
        await copy(database_source, SqliteFile(tmp_path / "other.db"))


async def test_databases_with_different_tables_are_refused(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    await fill(database_source, 1)
    await run(database_source, "CREATE TABLE more (a TEXT PRIMARY KEY);")

    with pytest.raises(CopyRefused, match="different tables"):
        await copy(database_source, SqliteFile(tmp_path / "other.db"))


NAMED = "CREATE TABLE named (id BIGINT PRIMARY KEY, name TEXT {});"


async def test_what_the_target_refuses_is_told(
    source: DatabaseSource, target: DatabaseSource
) -> None:
    """A constraint that only the target has; in truth they have the same."""
    lax, strict = (
        [*all_migrations(), Migration(9000, "named", NAMED.format(constraint))]
        for constraint in ("", "UNIQUE")
    )
    db = await open_database(source, migrations=lax)
    await check_server_name(db, OWN)
    await db.close()
    await run(source, "INSERT INTO named VALUES (1, 'same'), (2, 'same')")

    with pytest.raises(DatabaseRefused, match="refuses rows of named: "):
        await copy_database(source, target, Recorder(), migrations=strict)
