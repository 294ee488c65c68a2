"""`tremula appservice`, on the database of a stopped server and on one that runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.features.appservices.clients import IRC, ME
from tests.server import Server, config_for, running_server
from tremula.cli.commands import run
from tremula.cli.failures import ExitCode
from tremula.infra.config import Api, Listener
from tremula.infra.config.environment import TOKEN_VARIABLE

FILE = """
id: irc
url: http://127.0.0.1:9898
as_token: as-token-of-irc
hs_token: hs-token-of-irc
sender_localpart: _irc_bot
namespaces:
  users: [{regex: '@_irc_.*', exclusive: true}]
  rooms: [{regex: '!a', exclusive: false}]
"""
SHOWN = [
    "id: irc",
    "sender: @_irc_bot:test",
    "url: http://127.0.0.1:9898",
    "owner: None",
    "from_file: False",
    "waiting_events: 0",
    "users: @_irc_.* (exclusive)",
    "rooms: !a",
]

Tremula = Callable[..., list[str]]


@pytest.fixture
def registration_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "irc.yaml").write_text(FILE)
    return "irc.yaml"


@pytest.fixture
def tremula(capsys: pytest.CaptureFixture[str]) -> Tremula:
    """Run a command that succeeds; the lines of its output."""

    def run_it(*arguments: str) -> list[str]:
        capsys.readouterr()
        assert run(["appservice", *arguments]) == ExitCode.OK, capsys.readouterr().err
        return capsys.readouterr().out.splitlines()

    return run_it


def _life_of_one(tremula: Tremula, file: str, *options: str) -> None:
    """Add one, look at it, change it, and remove it."""
    assert tremula("add", file, *options) == ["irc is registered."]
    [header, row] = tremula("list", *options)
    assert header.split() == ["appservice", "sender", "url", "file"]
    assert row.split() == ["irc", "@_irc_bot:test", "http://127.0.0.1:9898", "no"]
    assert tremula("show", "irc", *options) == SHOWN

    path = Path(file)
    path.write_text(FILE.replace("9898", "9899"))
    assert tremula("add", file, *options) == ["irc is registered."]
    assert "url: http://127.0.0.1:9899" in tremula("show", "irc", *options)

    replayed = tremula("replay", "irc", "--hours", "1", *options)
    assert replayed == ["0 events will be told again."]
    assert tremula("remove", "irc", *options) == ["irc is removed."]
    assert len(tremula("list", *options)) == 1


def test_in_the_database(registration_file: str, tremula: Tremula) -> None:
    _life_of_one(tremula, registration_file, "--server-name", "test")


@pytest.fixture
async def running(
    database_source: DatabaseSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Server, str]]:
    """A server that listens, with an administrator's token at hand, and its address."""
    async with running_server(config_for(database_source, tmp_path)) as server:
        client = server.client(ME)
        await client.get("/v3/account/whoami")
        await server.app.accounts.set_admin(ME, is_admin=True)
        monkeypatch.setenv(TOKEN_VARIABLE, str(client.login.token))
        http = server.app.http_server()
        await http.listen([Listener(port=0, apis=tuple(Api))])
        yield server, f"http://127.0.0.1:{http.ports[0]}"
        await http.stop()


async def test_on_a_server_that_runs(
    running: tuple[Server, str], registration_file: str, tremula: Tremula
) -> None:
    _, url = running
    await asyncio.to_thread(_life_of_one, tremula, registration_file, "--url", url)


async def test_one_that_is_added_is_let_in_at_once(
    running: tuple[Server, str], registration_file: str, tremula: Tremula
) -> None:
    server, url = running

    await asyncio.to_thread(tremula, "add", registration_file, "--url", url)

    response = await server.appservice_client(IRC).get("/v3/account/whoami")
    assert response.json["user_id"] == "@_irc_bot:test"


async def test_what_a_running_server_refuses_is_told(
    running: tuple[Server, str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = running
    arguments = ["appservice", "remove", "nobody", "--url", url]

    assert await asyncio.to_thread(run, arguments) == ExitCode.REFUSED

    assert capsys.readouterr().err.startswith("tremula: M_NOT_FOUND: ")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (["add", "none.yaml"], ExitCode.CONFIG, "none.yaml: can't be read"),
        (["remove", "nobody"], ExitCode.REFUSED, "there is no application service"),
        (
            ["list", "--url", "http://127.0.0.1:1"],
            ExitCode.ADDRESS,
            "no server answers",
        ),
        (["list", "--url", "file:///"], ExitCode.CONFIG, "is not an http(s) URL"),
    ],
)
def test_a_failure_is_told_in_one_line(
    arguments: list[str],
    exit_code: ExitCode,
    told: str,
    registration_file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert registration_file
    monkeypatch.setenv(TOKEN_VARIABLE, "token")

    assert run(["appservice", *arguments]) == exit_code

    [line] = capsys.readouterr().err.splitlines()
    assert told in line


def test_an_address_needs_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["appservice", "list", "--url", "http://127.0.0.1:1"]

    assert run(arguments) == ExitCode.CONFIG

    assert TOKEN_VARIABLE in capsys.readouterr().err
