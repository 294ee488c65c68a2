"""What application services cost those who write, and each other."""

import re

import pytest

from tests.features.appservice_transactions.bridge import Bridge
from tests.features.appservices.registrations import namespaces, registration
from tests.features.rooms import create_room, send
from tests.query_counter import counted
from tests.server import Server

GHOST = "@_irc_ghost:test"


@pytest.mark.one_process
async def test_a_room_of_nobodys_costs_what_it_did_without_any(server: Server) -> None:
    alice = server.client("@alice:test")
    room_id = await create_room(alice)
    await send(alice, room_id)
    with counted(server.db) as before:
        await send(alice, room_id)
    for number in range(20):
        areas = namespaces(users=f"@_{number}_.*", aliases=f"#_{number}_.*")
        await server.add_appservice(
            registration(f"bridge{number}", namespaces=areas, url="http://127.0.0.1:9")
        )
    await send(alice, room_id)

    with counted(server.db) as after:
        await send(alice, room_id)

    assert after.reads == before.reads == []
    [unit], [unit_before] = after.units, before.units
    assert [each.sql for each in unit.statements] == [
        each.sql for each in unit_before.statements
    ]


@pytest.mark.one_process
async def test_what_a_message_costs_that_is_delivered(
    server: Server, bridged: Bridge
) -> None:
    """One row with the message; then what waits is looked up, and once more after it
    was taken. The message and its room are in memory.
    """
    ghost = server.client(GHOST)
    room_id = await create_room(ghost)
    last = await send(ghost, room_id)
    while last not in (await bridged.take()).event_ids:
        continue

    with counted(server.db) as queries:
        event_id = await send(ghost, room_id)
        assert event_id in (await bridged.take()).event_ids

    assert "appservice_transactions_waiting" in str(queries.units[0].statements)
    reads = re.findall("FROM (\\w+)", str(queries.reads))
    assert all(table.startswith("appservice_") for table in reads)
