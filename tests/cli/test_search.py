"""`tremula search` on the database of a stopped server."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tremula.cli.commands import run
from tremula.cli.failures import ExitCode


def test_the_indexes_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the next server, or the command itself begins with it."""
    monkeypatch.chdir(tmp_path)
    assert run(["search", "rebuild"]) == ExitCode.OK
    [path] = tmp_path.rglob("tremula.db")
    with closing(apsw.Connection(str(path))) as database:
        database.execute("DELETE FROM rooms_followers_derived")
        database.execute(
            "INSERT INTO rooms_followers_derived VALUES ('search', 1, 5),"
            " ('user_directory', 1, 5)"
        )

    assert run(["search", "rebuild"]) == ExitCode.OK

    assert capsys.readouterr().out.startswith("The indexes are made anew")
    with closing(apsw.Connection(str(path))) as database:
        left = database.execute("SELECT * FROM rooms_followers_derived WHERE pos > 0")
        assert left.fetchall() == []
