"""What batches and rooms with many members ask of the database."""

import pytest

from tests.features.hungry_rooms.bridges import bridge, sent_batch
from tests.features.rooms import create_room
from tests.query_counter import Queries, counted
from tests.server import Server
from tremula.infra.db import Statement

pytestmark = pytest.mark.one_process(reason="it counts the queries of one process")

LOCAL = {"m.federate": False}


def _inserts(queries: Queries) -> list[list[Statement]]:
    """What stores events, of each unit that stores any."""
    found = [
        [each for each in unit.statements if "INSERT INTO rooms_events" in each.sql]
        for unit in queries.units
    ]
    return [each for each in found if each]


@pytest.mark.parametrize("forward", [True, False])
async def test_a_batch_is_one_statement(server: Server, forward: bool) -> None:
    """IDs are looked up 500 at a time before."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL)
    await sent_batch(bot, room_id, "warm", forward=True)
    said = [str(number) for number in range(1_000)]

    with counted(server.db) as queries:
        await sent_batch(bot, room_id, *said, forward=forward)

    [[insert]] = _inserts(queries)
    assert len(insert.rows) == len(said)
    lookups = [each for each in queries.reads if "WHERE event_id IN" in each]
    assert len(lookups) == 2


async def test_a_room_is_created_with_its_members_in_one_unit(server: Server) -> None:
    """However many they are."""
    bot = await bridge(server)
    ghosts = [f"@_irc_{number}:test" for number in range(200)]

    with counted(server.db) as queries:
        await create_room(bot, **{"com.beeper.initial_members": ghosts})

    [inserts] = _inserts(queries)
    assert sum(len(each.rows) for each in inserts) >= len(ghosts)
