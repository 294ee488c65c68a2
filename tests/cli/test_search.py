"""`tremula search` on the database of a stopped server."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tremula.cli.commands import run
from tremula.cli.failures import ExitCode

TABLES = ("search_progress_derived", "user_directory_progress")


def test_the_indexes_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the next server, or the command itself begins with it."""
    monkeypatch.chdir(tmp_path)
    assert run(["search", "rebuild"]) == ExitCode.OK
    [path] = tmp_path.rglob("tremula.db")
    with closing(apsw.Connection(str(path))) as database:
        for table in TABLES:
            database.execute(f"UPDATE {table} SET version = 1, pos = 5")  # noqa: S608 - a table's name

    assert run(["search", "rebuild"]) == ExitCode.OK

    assert capsys.readouterr().out.startswith("The indexes are made anew")
    with closing(apsw.Connection(str(path))) as database:
        for table in TABLES:
            assert database.execute(f"SELECT pos FROM {table}").fetchall() == [(0,)]  # noqa: S608 - likewise
