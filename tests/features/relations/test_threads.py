"""CS getThreadRoots, over HTTP."""

from urllib.parse import quote

import pytest

from tests.features.relations.relating import (
    ids,
    ignore,
    redact,
    relate,
    reply,
    threads,
)
from tests.features.rooms import create_room, error_of, join, send, set_state
from tests.server import Server

ALICE, BOB, MALLORY = "@alice:test", "@bob:test", "@mallory:test"


async def shared_room(server: Server) -> str:
    """A public room of Alice and Bob."""
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    await join(server.client(BOB), room_id)
    return room_id


async def test_threads_are_in_order_of_their_newest_events(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    roots = [await send(alice, room_id) for _ in range(3)]
    for index in (0, 2, 1, 0):
        await reply(bob, room_id, roots[index])
    await reply(alice, room_id, roots[2])
    await send(alice, room_id, "no root")

    page = await threads(alice, room_id)

    assert ids(page) == [roots[2], roots[0], roots[1]]
    assert "next_batch" not in page
    told = [event["unsigned"]["m.relations"]["m.thread"] for event in page["chunk"]]
    assert [each["count"] for each in told] == [2, 2, 1]


async def test_pages_cover_all_threads_once(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    roots = [await send(alice, room_id) for _ in range(5)]
    for client in (alice, bob):
        for root in roots:
            await reply(client, room_id, root)

    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = await threads(alice, room_id, **query)
        seen += ids(page)
        if "next_batch" not in page:
            break
        query["from"] = page["next_batch"]

    assert seen == roots[::-1]


async def test_only_threads_that_the_user_takes_part_in_are_wanted(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    own = await send(bob, room_id)
    joined, others = [await send(alice, room_id) for _ in range(2)]
    for root in (own, joined, others):
        await reply(alice, room_id, root)
    await reply(bob, room_id, joined)

    page = await threads(bob, room_id, include="participated")
    everything = await threads(bob, room_id, include="all")

    assert ids(page) == [joined, own]
    assert ids(everything) == [joined, others, own]


async def test_what_ignored_users_say_does_not_count(server: Server) -> None:
    """Neither for the order, nor for whether there is a thread; roots are redacted."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    roots = [await send(alice, room_id), await send(bob, room_id, "secret")]
    alone = await send(alice, room_id)
    for root in roots:
        await reply(alice, room_id, root)
    await reply(bob, room_id, roots[0])
    await reply(bob, room_id, alone)
    await ignore(alice, ALICE, BOB)

    page = await threads(alice, room_id)

    assert ids(page) == [roots[1], roots[0]]
    of_bob, of_alice = page["chunk"]
    assert of_bob["content"] == {}
    assert of_alice["content"]["body"] == "hello"
    assert of_alice["unsigned"]["m.relations"]["m.thread"]["count"] == 1


async def test_a_thread_without_events_is_none(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    root = await send(alice, room_id)
    await redact(alice, room_id, await reply(alice, room_id, root))

    assert ids(await threads(alice, room_id)) == []


async def test_a_root_that_is_redacted_stays(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    root = await send(alice, room_id)
    await reply(alice, room_id, root)

    await redact(alice, room_id, root)

    assert ids(await threads(alice, room_id)) == [root]


async def test_unknown_roots_and_those_of_other_rooms_are_left_out(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id, other_id = [await create_room(alice) for _ in range(2)]
    elsewhere = await send(alice, other_id)
    for root in ("$unknown", elsewhere):
        await relate(alice, room_id, "m.thread", root)

    assert ids(await threads(alice, room_id)) == []
    assert ids(await threads(alice, other_id)) == []


async def test_roots_from_before_the_reader_came_are_left_out(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    visibility = {"history_visibility": "joined"}
    await set_state(alice, room_id, "m.room.history_visibility", visibility)
    early = await send(alice, room_id)
    await join(bob, room_id)
    late = await send(alice, room_id)
    for root in (late, early):
        await reply(alice, room_id, root)

    assert ids(await threads(bob, room_id)) == [late]


async def test_who_left_is_shown_the_threads_of_that_time(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    first, second = [await send(alice, room_id) for _ in range(2)]
    await reply(alice, room_id, second)
    await reply(alice, room_id, first)
    assert (await bob.post(f"/v3/rooms/{quote(room_id)}/leave", {})).status == 200
    await reply(alice, room_id, second)
    await reply(alice, room_id, await send(alice, room_id))

    page = await threads(bob, room_id)
    [first_page] = [await threads(bob, room_id, limit=1)]
    rest = await threads(bob, room_id, limit=1, **{"from": first_page["next_batch"]})

    assert ids(page) == [first, second]
    assert ids(first_page) + ids(rest) == [first, second]
    told = [event["unsigned"]["m.relations"]["m.thread"] for event in page["chunk"]]
    assert [each["count"] for each in told] == [1, 1]


async def test_a_room_that_the_user_may_not_read_is_refused(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    for wanted in (room_id, "!nowhere:test"):
        path = f"/v1/rooms/{quote(wanted)}/threads"
        response = await server.client(MALLORY).get(path)
        assert error_of(response) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize(
    "query", [{"include": "some"}, {"limit": "0"}, {"from": "nonsense"}]
)
async def test_a_malformed_parameter_is_refused(
    server: Server, query: dict[str, str]
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    response = await alice.get(f"/v1/rooms/{quote(room_id)}/threads", query=query)

    assert error_of(response) == (400, "M_INVALID_PARAM")
