"""`tremula serve` as a process of its own: how it starts, refuses and ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import apsw
import pytest

from tremula.cli.failures import ExitCode
from tremula.cli.serve import announcement
from tremula.infra.config import load_config

PATIENCE_S: Final = 60
NO_SETTINGS: Final[Mapping[str, str]] = {}
FREE_PORT: Final = ("--listen", "127.0.0.1:0")


def start(
    directory: Path, *options: str, settings: Mapping[str, str] = NO_SETTINGS
) -> subprocess.Popen[str]:
    """A server over the database in *directory*; *settings* are for its environment."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TREMULA_")
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tremula", "serve", *options],
        cwd=directory,
        env={**environment, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def url_of(server: subprocess.Popen[str]) -> str:
    """Where the server says that it listens; waits until it does."""
    assert server.stdout
    for line in server.stdout:
        if match := re.match(r"  listening +(\S+) ", line):
            return match[1]
    raise AssertionError(f"it did not start: {server.stderr and server.stderr.read()}")


def end(server: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """The exit code after a signal, and what stood on stderr."""
    server.send_signal(number)
    _, err = server.communicate(timeout=PATIENCE_S)
    return server.returncode, err


def refusal(directory: Path, *options: str) -> tuple[int, str]:
    """The exit code of a server that does not start, and its one line on stderr."""
    server = start(directory, *options)
    out, err = server.communicate(timeout=PATIENCE_S)
    assert out == ""
    assert err.startswith("tremula: ")
    assert err.count("\n") == 1
    return server.returncode, err


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and its URL."""
    server = start(tmp_path, *FREE_PORT)
    yield server, url_of(server)
    if server.poll() is None:
        server.kill()
    server.communicate(timeout=PATIENCE_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_until_it_is_told_to_stop(
    running: tuple[subprocess.Popen[str], str], number: signal.Signals
) -> None:
    server, url = running
    with urllib.request.urlopen(f"{url}/_matrix/client/versions") as answer:
        assert answer.status == 200

    code, err = end(server, number)
    assert code == ExitCode.OK
    assert "Traceback" not in err


def test_a_second_process_leaves_the_file_alone(
    running: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    server, _ = running

    code, err = refusal(tmp_path, *FREE_PORT)

    assert code == ExitCode.DATABASE_IN_USE
    assert f"in use by process {server.pid}" in err


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, err = refusal(tmp_path, "--listen", f"127.0.0.1:{port}")

    assert code == ExitCode.ADDRESS
    assert str(port) in err


def test_a_directory_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    code, err = refusal(tmp_path, "--data-dir", "file/data")

    assert code == ExitCode.DATA_DIR
    assert "file/data" in err


def test_another_server_name_is_refused(tmp_path: Path) -> None:
    server = start(tmp_path, *FREE_PORT)
    url_of(server)
    end(server, signal.SIGTERM)

    code, err = refusal(tmp_path, *FREE_PORT, "--server-name", "other.org")

    assert code == ExitCode.SERVER_NAME_CHANGED
    assert "localhost" in err


def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    server = start(tmp_path, *FREE_PORT)
    url_of(server)
    end(server, signal.SIGTERM)
    with apsw.Connection(str(tmp_path / "data/tremula.db")) as connection:
        connection.execute("INSERT INTO infra_migrations VALUES (9999, 'future')")
    connection.close()

    code, err = refusal(tmp_path, *FREE_PORT)

    assert code == ExitCode.DATABASE_TOO_NEW
    assert "newer" in err


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/tremula.db").write_text("not a database at all " * 100)

    code, err = refusal(tmp_path, *FREE_PORT)

    assert code == ExitCode.DATABASE
    assert "tremula.db" in err


def test_a_postgresql_that_is_not_there_is_refused(tmp_path: Path) -> None:
    url = "postgresql://user:hunter2@127.0.0.1:1/tremula"

    code, err = refusal(tmp_path, *FREE_PORT, "--database", url)

    assert code == ExitCode.DATABASE
    assert "hunter2" not in err


def test_a_bad_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tremula.toml").write_text("paint = 'blue'")

    code, err = refusal(tmp_path, *FREE_PORT)

    assert (code, err) == (ExitCode.CONFIG, "tremula: paint: unknown key\n")


def test_the_announcement_says_who_may_register() -> None:
    environment = {"TREMULA_SERVER_NAME": "a.org", "TREMULA_LISTEN": "0.0.0.0:8008"}
    exposed = load_config(None, environment)

    assert "tremula token create" in announcement(exposed, [8008], None)
    assert "open: " in announcement(load_config(None, {}), [8008], None)
