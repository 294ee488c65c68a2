"""Relations of events that were stored before relations were recorded."""

from typing import Final

import asyncpg  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.features.relations.relating import edit, redact, relate, reply
from tests.features.rooms import create_room, join, send, set_state
from tests.server import Server
from tremula.infra.config import PostgresUrl
from tremula.infra.db import Engine, Row
from tremula.infra.db.migrations import all_migrations, script_for
from tremula.infra.db.sqlite import SqliteDatabase
from tremula.infra.db.unit import Statements

pytestmark = pytest.mark.one_process(reason="it changes the database beneath a server")

ALICE, BOB = "@alice:test", "@bob:test"

_FORGET: Final = "DELETE FROM rooms_relations; DELETE FROM rooms_threads; "

MALFORMED: list[object] = [
    None,
    7,
    "m.thread",
    {"rel_type": "m.thread"},
    {"rel_type": 7, "event_id": "$event"},
    {"rel_type": "", "event_id": "$event"},
    {"rel_type": "m.thread", "event_id": ""},
    {"rel_type": "m.thread", "event_id": ["$event"]},
    {"rel_type": "m.thread", "event_id": "event"},
    {"rel_type": "m.thread", "event_id": "$" + "ä" * 128},
    {"rel_type": "x" * 256, "event_id": "$event"},
]


async def test_relations_of_earlier_events_are_recorded_as_of_new_ones(
    server: Server,
) -> None:
    """The migration finds what was written when the events came."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    root = await send(alice, room_id, "no m.relates_to")
    for client in (alice, bob, bob):
        await redact(client, room_id, await reply(client, room_id, root))
        event_id = await reply(client, room_id, root)
        await edit(client, room_id, event_id)
        await relate(client, room_id, "m.replace", event_id)
        await relate(client, room_id, "m.replace", event_id, {"m.new_content": "text"})
    await relate(alice, room_id, "m.replace", root, event_type="m.room.encrypted")
    await relate(alice, room_id, "ä" * 127, "$" + "ä" * 127)
    relation = {"rel_type": "m.replace", "event_id": root}
    content = {"m.relates_to": relation, "m.new_content": {}}
    await set_state(alice, room_id, "org.example.state", content)
    for number, malformed in enumerate(MALFORMED):
        path = f"/v3/rooms/{room_id}/send/m.room.message/malformed{number}"
        response = await alice.put(path, {"m.relates_to": malformed})
        assert response.status == 200
    recorded = await rows_of(server)
    assert len(recorded) == 3 + 3 + 2 + 2
    await put_nul_into(server, await reply(alice, room_id, root, "here"))

    await forget_and_migrate(server)

    assert await rows_of(server) == recorded


async def put_nul_into(server: Server, event_id: str) -> None:
    """Store an event as another server may have sent it; PostgreSQL can't read it."""
    unit = Statements()
    [(client_json,)] = await server.db.all(
        "SELECT client_json FROM rooms_events WHERE event_id = :event_id",
        event_id=event_id,
    )
    unit.run(
        """
        UPDATE rooms_events SET client_json = :client_json WHERE event_id = :event_id
        """,
        client_json=bytes(client_json).replace(b"here", b"\\u0000"),
        event_id=event_id,
    )
    await server.db.commit(unit)


async def rows_of(server: Server) -> list[Row]:
    """All that is recorded of relations."""
    relations = await server.db.all(
        """
        SELECT room_nid, parent_id, rel_type, room_pos, event_nid
        FROM rooms_relations ORDER BY room_pos
        """
    )
    threads = await server.db.all(
        """
        SELECT room_nid, root_id, sender, count, newest_pos
        FROM rooms_threads ORDER BY sender
        """
    )
    return [*relations, *threads]


async def forget_and_migrate(server: Server) -> None:
    """Have only the migration's own statements record relations."""
    [migration] = [each for each in all_migrations() if each.name == "relations"]
    _, _, filling = migration.sql.partition("-- What is stored already")
    script = "".join((_FORGET, "--", filling))
    if isinstance(server.db, SqliteDatabase):
        await server.db.run_script(script_for(Engine.SQLITE, script))
        return
    assert isinstance(server.app.config.database, PostgresUrl)
    connection = await asyncpg.connect(server.app.config.database.url)
    await connection.execute(script_for(Engine.POSTGRES, script))
    await connection.close()
