"""`tremula cluster status`: what it prints, and how it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.conftest import new_database
from tests.postgres_server import PostgresServer
from tremula.cli.commands import run
from tremula.cli.failures import ExitCode
from tremula.infra.cluster.leases_storage import PostgresLeases
from tremula.infra.config import PostgresUrl
from tremula.infra.slots import SLOTS

STATUS = ("cluster", "status")


@pytest.fixture
def url(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A migrated database, where no process is."""
    monkeypatch.chdir(tmp_path)
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        database = runner.run(
            stack.enter_async_context(new_database(postgres_server, tmp_path))
        )
        assert isinstance(database, PostgresUrl)
        yield database.url
        runner.run(stack.aclose())


def prepare(url: str, work: Callable[[PostgresLeases], Awaitable[object]]) -> None:
    """Do *work* to the leases at *url*."""

    async def prepared() -> None:
        leases = PostgresLeases(url)
        await work(leases)
        await leases.close()

    asyncio.run(prepared())


def test_members_are_listed_with_what_they_hold(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def two(leases: PostgresLeases) -> None:
        for member in ("first", "second"):
            await leases.join(member, f"{member}.internal:1", "1.0")
            await leases.beat(member, is_reachable=True)
        await leases.claim("first", range(SLOTS - 10))
        await leases.claim("second", range(SLOTS))
        await leases.announce_leaving("second")

    prepare(url, two)

    assert run([*STATUS, "--database", url]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines[1:3]]
    assert [row[:5] for row in rows] == [
        ["first", "first.internal:1", "1.0", "1", str(SLOTS - 10)],
        ["second", "second.internal:1", "1.0", "2", "10"],
    ]
    assert [row[-1] for row in rows] == ["ready", "leaving"]
    assert lines[3] == f"All {SLOTS} slots are held."


def test_slots_that_nobody_holds_are_a_failure(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def idle(leases: PostgresLeases) -> None:
        await leases.join("idle", "here", "1.0")

    prepare(url, idle)

    assert run([*STATUS, "--database", url]) == ExitCode.UNHEALTHY
    assert f"nobody holds {SLOTS} of {SLOTS} slots" in capsys.readouterr().err


def test_a_server_without_members_is_a_failure(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*STATUS, "--database", url]) == ExitCode.UNHEALTHY
    assert capsys.readouterr().err == "tremula: no process is a member now\n"


def test_sqlite_has_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert run(STATUS) == ExitCode.CONFIG
    assert "PostgreSQL" in capsys.readouterr().err


def test_a_database_that_is_not_there_is_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = "postgresql://postgres@127.0.0.1:1/none"

    assert run([*STATUS, "--database", url]) == ExitCode.DATABASE
    assert capsys.readouterr().err.count("\n") == 1
