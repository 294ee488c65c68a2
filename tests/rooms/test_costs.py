"""What the hot paths ask of the database: speed that a test can hold."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch
from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, join, send, set_state
from tests.query_counter import counted
from tests.server import Server
from tremula.rooms.state import StateMap

pytestmark = pytest.mark.one_process(reason="it counts the queries of one process")

ALICE = "@alice:test"
BOB = "@bob:test"


@contextmanager
def garbage() -> Iterator[list[object]]:
    """What only the garbage collector can free of what the block has made."""
    left: list[object] = []
    gc.collect()
    gc.disable()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_a_send_to_a_warm_room_is_one_unit_and_no_read(server: Server) -> None:
    """The blueprint's "one transaction and no read on a warm room"."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    await send(alice, room_id)

    with counted(server.db) as queries:
        await send(alice, room_id)

    assert queries.reads == []
    [unit] = queries.units
    assert len(unit.statements) == 1


async def test_what_is_stored_leaves_nothing_to_the_garbage_collector(
    server: Server,
) -> None:
    """Units, and all that they have stored and announced, go when nobody needs them."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await bob.get("/v3/account/whoami")

    with garbage() as left:
        await send(alice, room_id)
        await join(bob, room_id)
        await create_room(alice)

    modules = {type(each).__module__ for each in left}
    assert not {each for each in modules if each.startswith("tremula.")}


async def test_a_join_costs_the_same_in_a_room_of_any_size(server: Server) -> None:
    """Nothing is read or written a member."""
    alice = server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    statements = []
    for number in range(5):
        user = server.client(f"@user{number}:test")
        await user.get("/v3/account/whoami")
        with counted(server.db) as queries:
            await join(user, room_id)
        statements.append(
            (len(queries.reads), sum(len(u.statements) for u in queries.units))
        )

    assert len(set(statements[1:])) == 1


async def test_who_joins_a_room_in_use_is_let_in_without_asking_of_it(
    server: Server,
) -> None:
    """What is read is how the one who joined before wants to be notified."""
    alice = server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    first, second = (server.client(f"@user{number}:test") for number in range(2))
    await second.get("/v3/account/whoami")
    await join(first, room_id)

    with counted(server.db) as queries:
        await join(second, room_id)

    [asked] = queries.reads
    assert "FROM push_rules" in asked


async def test_a_change_of_the_state_makes_one_new_map(server: Server) -> None:
    """The room as it is written and as it is read have it together, and go on so when
    something has been redacted.
    """
    alice = server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    with_event = StateMap.with_event
    for number in range(2):
        user = server.client(f"@user{number}:test")
        await user.get("/v3/account/whoami")
        with patch.object(StateMap, "with_event", autospec=True) as changed:
            changed.side_effect = with_event
            await join(user, room_id)
        assert changed.call_count == 1
        topic = await set_state(alice, room_id, "m.room.topic", {"topic": "Trees"})
        topic_id = quote(topic.json["event_id"])
        path = f"/v3/rooms/{quote(room_id)}/redact/{topic_id}/r{number}"
        assert (await alice.put(path, {})).status == 200


async def test_a_sync_woken_by_a_message_reads_nothing(server: Server) -> None:
    """What is in the tail is shown from memory, to however many."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await send(alice, room_id)
    query = {
        "filter": '{"room":{"state":{"lazy_load_members":true}}}',
        "set_presence": "offline",
    }
    since = (await bob.get("/v3/sync", query=query)).json["next_batch"]
    event_id = await send(alice, room_id)
    since = (await bob.get("/v3/sync", query={**query, "since": since})).json[
        "next_batch"
    ]

    waiting = asyncio.ensure_future(
        bob.get("/v3/sync", query={**query, "since": since, "timeout": "30000"})
    )
    with counted(server.db) as queries:
        event_id = await send(alice, room_id)
        answer = await waiting

    room = answer.json["rooms"]["join"][room_id]
    assert [event["event_id"] for event in room["timeline"]["events"]] == [event_id]
    assert queries.reads == []


async def test_new_state_after_the_timeline_is_read_from_memory(
    server: Server,
) -> None:
    """With ``use_state_after`` as well as without: the tail has what changed."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    query = {"use_state_after": "true", "set_presence": "offline"}
    first = await bob.get("/v3/sync", query=query)
    await set_state(alice, room_id, "m.room.topic", {"topic": "Trees"})

    with counted(server.db) as queries:
        query["since"] = first.json["next_batch"]
        answer = await bob.get("/v3/sync", query=query)

    [event] = answer.json["rooms"]["join"][room_id]["state_after"]["events"]
    assert event["content"]["topic"] == "Trees"
    assert queries.reads == []


async def test_a_page_of_messages_costs_one_query(server: Server) -> None:
    """One index range, whatever the room holds."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    for _ in range(12):
        await send(alice, room_id)

    path = f"/v3/rooms/{quote(room_id)}/messages"
    first = await alice.get(path, query={"dir": "b", "limit": 5})

    with counted(server.db) as queries:
        query = {"dir": "b", "limit": 5, "from": first.json["end"]}
        response = await alice.get(path, query=query)

    assert len(response.json["chunk"]) == 5
    assert len(queries.reads) == 1
