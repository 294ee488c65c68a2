"""`tremula serve` while it waits for something, before it serves."""

import asyncio
import signal
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.cli.test_serve import FREE_PORT, PATIENCE_S, start
from tests.conftest import new_database
from tests.postgres_server import PostgresServer
from tremula.cli.failures import ExitCode
from tremula.infra.config import PostgresUrl

_WAITING = """
    SELECT count(*) FROM pg_locks
    WHERE NOT granted AND database = (SELECT oid FROM pg_database
                                      WHERE datname = current_database())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_who_waits_for_the_database_is_told_to_stop(
    postgres_server: PostgresServer, tmp_path: Path, number: signal.Signals
) -> None:
    async with new_database(postgres_server, tmp_path) as source:
        assert isinstance(source, PostgresUrl)
        other = await asyncpg.connect(source.url)
        async with other.transaction(), asyncio.timeout(PATIENCE_S):
            await other.execute("LOCK TABLE infra_migrations")
            server = start(tmp_path, *FREE_PORT, "--database", source.url)
            while not await other.fetchval(_WAITING):
                assert server.poll() is None

            server.send_signal(number)
            out, err = await asyncio.to_thread(server.communicate, timeout=PATIENCE_S)

        await other.close()
    assert (server.returncode, out, err) == (ExitCode.OK, "", "")
