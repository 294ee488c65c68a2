"""One backup, written to by several processes that share a PostgreSQL only."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.conftest import DatabaseSource
from tests.infra.db.members import Leases, member
from tests.postgres_server import PostgresServer
from tremula.features.key_backup.service import KeyBackup
from tremula.infra.config import PostgresUrl
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.key_backup import MEGOLM_BACKUP_V1, BackedUpSession

PROCESSES = 4
ALICE = UserId("@alice:test")


@pytest.fixture
def postgres_or_sqlite(postgres_server: PostgresServer) -> PostgresServer:
    """PostgreSQL alone: nobody else opens the file of an SQLite database."""
    return postgres_server


def uploads_of(process: int) -> list[BackedUpSession]:
    """Fifty sessions that all processes have, this one from index *process* on."""
    return [
        BackedUpSession(RoomId("!r:test"), f"s{number}", True, process, 0, b"{}")
        for number in range(50)
    ]


async def test_processes_keep_the_best_keys_and_count_them_once(
    database_source: DatabaseSource,
) -> None:
    assert isinstance(database_source, PostgresUrl)
    leases = Leases(database_source)
    async with AsyncExitStack() as members:
        backups = []
        for writer in range(PROCESSES):
            lease = await leases.number(writer)
            database = await members.enter_async_context(member(database_source, lease))
            backups.append(KeyBackup(database))
        auth_data = {"public_key": "key"}
        versions = await asyncio.gather(
            *(each.create(ALICE, MEGOLM_BACKUP_V1, auth_data) for each in backups[:2])
        )
        newest = max(versions)
        await asyncio.gather(
            *(
                backup.store(ALICE, newest, [session])
                for process, backup in enumerate(backups)
                for session in uploads_of(process)
            )
        )
        stored = await backups[0].store(ALICE, newest, uploads_of(PROCESSES))
        rows = await backups[0].db.all(
            "SELECT session_id, first_message_index FROM key_backup_sessions"
        )

    assert sorted(versions) == ["1", "2"]
    assert stored.session_count == 50
    assert dict(rows) == {f"s{number}": 0 for number in range(50)}
