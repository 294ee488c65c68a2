"""What the index holds: no more than what there is, and all of it after each start."""

from pathlib import Path

import pytest

from tests.conftest import DatabaseSource, new_database
from tests.features.account_moderation.administrators import admin
from tests.features.room_deletions.test_deleting import delete
from tests.features.rooms import create_room, send
from tests.features.search.searching import found
from tests.http_client import Client
from tests.infra.db.copying.copies import Recorder
from tests.postgres_server import PostgresServer
from tests.query_counter import counted
from tests.server import Server, config_for, running_server
from tremula.assembly.searching import rebuild_indexes
from tremula.features.search import storage
from tremula.features.search.storage import Wanted
from tremula.infra.config import SqliteFile
from tremula.infra.db import Database, Statements
from tremula.infra.db.copying import copy_database
from tremula.protocol.search_query import IndexTerm

ALICE = "@alice:test"


async def documents(db: Database, word: str) -> list[int]:
    wanted = Wanted((IndexTerm(word, is_prefix=False),))
    return await storage.documents_before(db, 2**62, wanted, limit=100)


async def test_of_a_deleted_room_nothing_is_left(server: Server) -> None:
    root, alice = await admin(server), server.client(ALICE)
    room_id, other = await create_room(alice), await create_room(alice)
    await send(alice, room_id, "needle")
    kept = await send(alice, other, "needle")
    assert len(await found(alice, "needle")) == 2

    await delete(server, root, room_id)

    assert len(await documents(server.db, "needle")) == 1
    assert await found(alice, "needle") == [kept]


@pytest.mark.one_process
async def test_a_server_on_a_copy_makes_its_own_index(
    database_source: DatabaseSource, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """The copy is of the other engine, whose index has another form."""
    async with running_server(config_for(database_source, tmp_path)) as server:
        alice = server.client(ALICE)
        room_id = await create_room(alice)
        sent = [await send(alice, room_id, f"needle {n}") for n in range(3)]
        assert await found(alice, "needle", order_by="recent") == sent[::-1]
    other = postgres_server if isinstance(database_source, SqliteFile) else None
    path = tmp_path / "copy.db"
    async with new_database(other, path, template="template0") as target:
        await copy_database(database_source, target, Recorder())

        async with running_server(config_for(target, tmp_path)) as server:
            again = Client(server.http, alice.login.token)
            assert await found(again, "needle", order_by="recent") == sent[::-1]


async def test_what_was_sent_before_there_was_an_index_is_found(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    sent = [await send(alice, room_id, "needle") for _ in range(120)]
    unit = Statements()
    storage.delete_all_documents(unit, server.db.engine)
    await server.db.commit(unit)
    await rebuild_indexes(server.db)

    page = await found(alice, "needle", order_by="recent", filter={"limit": 100})

    assert page == sent[:19:-1]


@pytest.mark.one_process
async def test_a_search_costs_a_few_queries(server: Server) -> None:
    """However many match: how far it is, what came since, what matches, and edits."""
    alice = server.client(ALICE)
    rooms = [await create_room(alice) for _ in range(3)]
    for room_id in rooms:
        for number in range(20):
            await send(alice, room_id, f"needle {number}")
    await found(alice, "needle")

    with counted(server.db) as queries:
        assert len(await found(alice, "needle", filter={"limit": 50})) == 50

    assert len(queries.reads) <= 6, queries.reads
    assert not queries.units
