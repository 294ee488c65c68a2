"""What pushing asks of the database, when the room and its users are known."""

import re

import pytest

from tests.features.pushers.conversations import new_room, push_to, two_in_a_room
from tests.features.pushers.push_gateway import PushGateway
from tests.features.rooms import join, send
from tests.query_counter import counted
from tests.server import Server


@pytest.mark.one_process
async def test_an_event_costs_three_reads_for_each_who_is_pushed_and_none_for_others(
    server: Server, gateway: PushGateway
) -> None:
    """Of a hundred members one has a pusher, and one whom it does not notify."""
    alice, bob, room_id = await two_in_a_room(server)
    for number in range(100):
        await join(server.client(f"@member{number}:test"), room_id)
    muted = await new_room(bob)
    await join(alice, muted)
    await alice.put(f"/v3/pushrules/global/room/{muted}", {"actions": []})
    await push_to(alice, gateway)
    await send(bob, muted)
    await send(bob, room_id)
    await gateway.take()

    with counted(server.db) as queries:
        await send(bob, muted)
        event_id = await send(bob, room_id)
        assert (await gateway.take())["event_id"] == event_id

    # Alice's pushers, again when it is their turn, and up to where she has read.
    tables = re.findall(
        "FROM (pushers|push_\\w+|receipts|rooms_memb\\w+)", str(queries.reads)
    )
    assert tables == ["pushers", "pushers", "receipts"]
