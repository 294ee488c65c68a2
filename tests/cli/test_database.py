"""`tremula database`: what it prints, and how it ends."""

import asyncio
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from io import StringIO
from pathlib import Path
from typing import Final

import pytest

from tests.cli.test_serve import FREE_PORT, end, refusal, start, url_of
from tests.conftest import new_database
from tests.postgres_server import PostgresServer
from tremula.cli.commands import run
from tremula.cli.failures import ExitCode
from tremula.infra.config import PostgresUrl, SqliteFile
from tremula.infra.db.copy_marker import mark
from tremula.infra.db.copying.store import open_store

Tremula = Callable[..., tuple[ExitCode, str, str]]

SOURCE: Final = ("--from", "sqlite:tremula.db")
TARGET: Final = ("--to", "sqlite:copy.db")
COPY: Final = ("database", "copy", *SOURCE, *TARGET)


@pytest.fixture
def tremula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tremula:
    """Run a command where a server has been; answers its code, output and errors."""
    monkeypatch.chdir(tmp_path)
    assert run(["token", "create", "welcome"]) == ExitCode.OK
    capsys.readouterr()

    def command(*arguments: str) -> tuple[ExitCode, str, str]:
        code = run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        database = runner.run(
            stack.enter_async_context(
                new_database(postgres_server, tmp_path, template="template0")
            )
        )
        assert isinstance(database, PostgresUrl)
        yield database.url
        runner.run(stack.aclose())


def test_a_server_moves_to_postgresql(tremula: Tremula, postgres_url: str) -> None:
    code, out, err = tremula("database", "copy", *SOURCE, "--to", postgres_url)

    assert (code, err) == (ExitCode.OK, "")
    lines = out.splitlines()
    assert re.fullmatch(r"copying \d+ rows", lines[0])
    assert "  registration_tokens                    1 rows" in lines
    assert any(
        re.fullmatch(r"  registration_tokens +1 rows  sha256 [0-9a-f]{16}", line)
        for line in lines
    )
    assert lines[-1].startswith("The copy is complete")
    assert "welcome" in tremula("token", "list", "--database", postgres_url)[1]


def test_people_see_a_bar(tremula: Tremula, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)

    assert run(COPY) == ExitCode.OK

    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "━" in said
    assert re.search(r"copying .* (\d+)/\1 ", said)
    assert re.search(r"verifying .* (\d+)/\1 ", said)
    assert re.search(r"registration_tokens +1 rows  sha256 [0-9a-f]{16}", said)


class Terminal(StringIO):
    """Standard output that is no pipe."""

    def isatty(self) -> bool:
        """Someone sits there."""
        return True


class Impatient(StringIO):
    """The output of somebody who presses Ctrl+C as soon as it begins to verify."""

    def write(self, text: str) -> int:
        """Take what is printed."""
        if text.startswith("verifying"):
            raise KeyboardInterrupt
        return super().write(text)


def test_a_copy_that_is_stopped_is_finished_later(
    tremula: Tremula, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patches:
        patches.setattr("sys.stdout", Impatient())
        code, _, err = tremula(*COPY)
    assert code == ExitCode.COPY_UNFINISHED
    assert err == "tremula: stopped; run the command again to go on\n"

    served, err = refusal(tmp_path, *FREE_PORT, "--database", "sqlite:copy.db")
    assert served == ExitCode.COPY_UNFINISHED
    assert "unfinished copy of that of localhost; run `tremula database copy`" in err

    assert tremula(*COPY)[0] == ExitCode.OK
    assert "welcome" in tremula("token", "list", "--database", "sqlite:copy.db")[1]


def test_no_server_starts_on_what_has_hardly_begun(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()

    async def begin() -> None:
        async with open_store(SqliteFile(tmp_path / "data/tremula.db")) as store:
            await mark(store, "example.org")

    asyncio.run(begin())

    code, err = refusal(tmp_path, *FREE_PORT)

    assert code == ExitCode.COPY_UNFINISHED
    assert "unfinished copy of that of example.org" in err


def test_a_server_has_to_be_stopped_first(tremula: Tremula, tmp_path: Path) -> None:
    server = start(tmp_path, *FREE_PORT)
    url_of(server)

    code, _, err = tremula(*COPY)

    assert end(server, signal.SIGTERM)[0] == ExitCode.OK
    assert code == ExitCode.DATABASE_IN_USE
    assert f"in use by process {server.pid}; stop the server first" in err


REFUSED: Final = [
    ((*SOURCE, "--to", "sqlite:tremula.db"), ExitCode.REFUSED, "the same database"),
    (("--from", "sqlite:none.db", *TARGET), ExitCode.REFUSED, "the source is empty"),
    ((*SOURCE, "--to", "mysql://hunter2"), ExitCode.CONFIG, "--to: must be"),
    (("--from", "hunter2", *TARGET), ExitCode.CONFIG, "--from: must be"),
    (SOURCE, ExitCode.CONFIG, "--to"),
    (
        (*SOURCE, "--to", "postgresql://u:hunter2@127.0.0.1:1/t"),
        ExitCode.DATABASE,
        "PostgreSQL",
    ),
]


@pytest.mark.parametrize(("options", "code", "reason"), REFUSED)
def test_a_refusal_is_one_line_and_a_code(
    options: tuple[str, ...], code: ExitCode, reason: str, tremula: Tremula
) -> None:
    actual, out, err = tremula("database", "copy", *options)

    assert (actual, out) == (code, "")
    assert err.startswith("tremula: ")
    assert reason in err
    assert err.count("\n") == 1
    assert "hunter2" not in err


def test_a_finished_copy_is_not_written_again(tremula: Tremula) -> None:
    assert tremula(*COPY)[0] == ExitCode.OK

    code, _, err = tremula(*COPY)

    assert code == ExitCode.REFUSED
    assert "the target holds the server localhost already" in err
