"""`tremula cluster status`: what it prints, and how it ends."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.cli.waiting import what_waits
from tests.conftest import new_database
from tests.postgres_server import PostgresServer
from tremula.cli.commands import run
from tremula.cli.failures import ExitCode
from tremula.infra.cluster.cluster_clock import ClusterClock
from tremula.infra.cluster.leases_storage import PostgresLeases
from tremula.infra.cluster.members import Load
from tremula.infra.config import PostgresUrl
from tremula.infra.db import open_database
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
            load = Load(lag_ms=1234, commands=5)
            await leases.beat(member, is_reachable=True, load=load)
        await leases.claim("first", range(SLOTS - 10))
        await leases.claim("second", range(SLOTS))
        await leases.announce_leaving("second")

    prepare(url, two)

    assert run([*STATUS, "--database", url]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines[1:3]]
    assert [row[:8] for row in rows] == [
        ["first", "first.internal:1", "1.0", "1", str(SLOTS - 10), "5", "1.2", "s"],
        ["second", "second.internal:1", "1.0", "2", "10", "5", "1.2", "s"],
    ]
    assert [row[-1] for row in rows] == ["ready", "leaving"]
    assert lines[-1] == f"All {SLOTS} slots are held."


@pytest.mark.parametrize(
    ("behind_s", "shown"),
    [(0, "on time"), (90, "90.0 s behind"), (-7_200, "7200.0 s ahead")],
)
def test_members_are_listed_with_how_their_clocks_go(
    url: str, capsys: pytest.CaptureFixture[str], behind_s: int, shown: str
) -> None:
    """Also where a clock is so far off that the member does not follow the database."""
    clock = ClusterClock(lambda: time.time_ns() - behind_s * 1_000_000_000)

    async def beat(leases: PostgresLeases) -> None:
        await leases.join("without", "here:1", "1.0")
        one = PostgresLeases(url, clock)
        await one.join("with", "here:2", "1.0")
        await one.beat("with", is_reachable=True)
        await one.close()

    prepare(url, beat)
    # What the member logs of it.
    capsys.readouterr()

    run([*STATUS, "--database", url])
    header, *members = (
        re.split(r" {2,}", line) for line in capsys.readouterr().out.splitlines()[:3]
    )
    at = header.index("clock")
    assert [each[at] for each in members] == [shown, "unknown"]


def queues(output: str) -> dict[str, list[str]]:
    """The rows of the second table by their names."""
    lines = output[output.index("queue ") :].splitlines()[1:]
    rows = [re.split(r" {2,}", line) for line in lines if line[-1:] != "."]
    return {name: cells for name, *cells in filter(any, rows)}


def test_what_waits_is_counted(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def fill(_: PostgresLeases) -> None:
        database = await open_database(PostgresUrl(url))
        await database.commit(what_waits(now_ms=int(time.time() * 1000)))
        await database.close()

    prepare(url, fill)

    run([*STATUS, "--database", url])

    assert queues(capsys.readouterr().out) == {
        "events for other servers": ["3", "2 servers", "3 h"],
        "EDUs for other servers": ["1", "1 server", "5 min"],
        "other servers that do not answer": ["1"],
        "device changes to tell others": ["2", "1 user"],
        "device lists to fetch": ["2"],
        "rooms joined, state incomplete": ["1", "2 d"],
        "events waiting for that state": ["1", "1 room"],
        "to-device messages to fetch": ["3", "2 devices"],
    }


def test_nothing_waits_in_a_new_server(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*STATUS, "--database", url])

    counts = queues(capsys.readouterr().out)
    assert len(counts) == 8
    assert all(cells == ["0"] for cells in counts.values())


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


@pytest.mark.parametrize("where", ["nobody listens", "no such name", "it is empty"])
def test_a_database_without_a_server_s_tables_is_one_line(
    where: str, postgres_server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = {
        "nobody listens": "postgresql://postgres@127.0.0.1:1/none",
        "no such name": postgres_server.url("none"),
        "it is empty": postgres_server.url("postgres"),
    }

    assert run([*STATUS, "--database", urls[where]]) == ExitCode.DATABASE
    assert capsys.readouterr().err.count("\n") == 1
