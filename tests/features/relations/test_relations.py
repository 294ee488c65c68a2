"""CS getRelatingEvents and its two narrower forms, over HTTP."""

from urllib.parse import quote

import pytest

from tests.features.relations.relating import (
    edit,
    ids,
    ignore,
    redact,
    relate,
    related,
    relations_path,
    reply,
)
from tests.features.rooms import create_room, error_of, join, send, set_state
from tests.http_client import Client
from tests.server import Server

ALICE, BOB, MALLORY = "@alice:test", "@bob:test", "@mallory:test"


async def react(client: Client, room_id: str, event_id: str, key: str = "👍") -> str:
    """Annotate an event."""
    return await relate(
        client,
        room_id,
        "m.annotation",
        event_id,
        event_type="m.reaction",
        relation={"key": key},
    )


async def test_the_types_in_the_path_narrow_the_page(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    parent = await send(alice, room_id)
    reaction = await react(alice, room_id, parent)
    reference = await relate(alice, room_id, "m.reference", parent)
    vote = await relate(
        alice, room_id, "m.reference", parent, event_type="org.example.vote"
    )
    narrowed: list[tuple[str, ...]] = [
        (),
        ("m.reference",),
        ("m.reference", "org.example.vote"),
        ("m.annotation", "m.room.message"),
    ]

    pages = [await related(alice, room_id, parent, *types) for types in narrowed]

    assert [ids(page) for page in pages] == [
        [vote, reference, reaction],
        [vote, reference],
        [vote],
        [],
    ]
    assert all("next_batch" not in page for page in pages)


@pytest.mark.parametrize("direction", ["b", "f"])
async def test_pages_cover_all_children_once(server: Server, direction: str) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    parent = await send(alice, room_id)
    children = [await reply(alice, room_id, parent) for _ in range(5)]

    query: dict[str, str | int] = {"dir": direction, "limit": 2}
    seen: list[str] = []
    while True:
        page = await related(alice, room_id, parent, "m.thread", **query)
        assert page.get("prev_batch") == query.get("from")
        seen += ids(page)
        if "next_batch" not in page:
            break
        query["from"] = page["next_batch"]

    assert seen == (children if direction == "f" else children[::-1])


async def test_a_page_lies_between_the_tokens_of_other_endpoints(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    parent = await send(alice, room_id)
    await reply(alice, room_id, parent)
    before = (await alice.get("/v3/sync")).json["next_batch"]
    between = await reply(alice, room_id, parent)
    messages = await alice.get(
        f"/v3/rooms/{quote(room_id)}/messages", query={"dir": "b"}
    )
    await reply(alice, room_id, parent)
    after = messages.json["start"]

    page = await related(
        alice, room_id, parent, **{"from": after, "to": before, "dir": "b"}
    )
    other_way = await related(
        alice, room_id, parent, **{"from": before, "to": after, "dir": "f"}
    )
    nothing = await related(
        alice, room_id, parent, **{"from": before, "to": after, "dir": "b"}
    )

    assert ids(page) == ids(other_way) == [between]
    assert ids(nothing) == []


async def test_recursion_reaches_three_relations_deep(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    chain = [await send(alice, room_id)]
    for _ in range(4):
        chain.append(await relate(alice, room_id, "m.reference", chain[-1]))

    direct = await related(alice, room_id, chain[0], recurse="false")
    page = await related(alice, room_id, chain[0], recurse="true")

    assert (ids(direct), direct["recursion_depth"]) == ([chain[1]], 1)
    assert (ids(page), page["recursion_depth"]) == (chain[3:0:-1], 3)
    assert "recursion_depth" not in await related(alice, room_id, chain[0])


async def test_recursion_goes_through_matching_events_only(server: Server) -> None:
    """ "whose only relation to the original given event is through a non-matching
    intermediate event, will not be included".
    """
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    root = await send(alice, room_id)
    in_thread = await reply(alice, room_id, root)
    reaction = await react(alice, room_id, in_thread)

    everything = await related(alice, room_id, root, recurse="true")
    reactions = await related(alice, room_id, root, "m.annotation", recurse="true")

    assert ids(everything) == [reaction, in_thread]
    assert ids(reactions) == []


async def test_the_children_come_with_their_aggregations(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    root = await send(alice, room_id)
    in_thread = await reply(alice, room_id, root)
    edit_id = await edit(alice, room_id, in_thread)

    page = await related(alice, room_id, root, "m.thread")

    [event] = page["chunk"]
    assert event["unsigned"]["m.relations"]["m.replace"]["event_id"] == edit_id


async def test_redacted_children_and_those_of_ignored_users_are_left_out(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    parent = await send(alice, room_id)
    redacted, mine = [await reply(alice, room_id, parent) for _ in range(2)]
    for _ in range(25):
        await reply(bob, room_id, parent)
    await redact(alice, room_id, redacted)
    await ignore(alice, ALICE, BOB)

    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 1}
    while True:
        page = await related(alice, room_id, parent, **query)
        seen += ids(page)
        if "next_batch" not in page:
            break
        query["from"] = page["next_batch"]

    assert seen == [mine]


async def test_children_that_the_reader_may_not_see_are_left_out(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    parent = await send(alice, room_id)
    visible = await reply(alice, room_id, parent)
    assert (await bob.post(f"/v3/rooms/{quote(room_id)}/leave", {})).status == 200
    await reply(alice, room_id, parent)

    assert ids(await related(bob, room_id, parent)) == [visible]


async def test_a_parent_that_the_reader_may_not_see_is_not_found(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    visibility = {"history_visibility": "joined"}
    await set_state(alice, room_id, "m.room.history_visibility", visibility)
    parent = await send(alice, room_id)
    await join(bob, room_id)
    await reply(alice, room_id, parent)

    for client in (bob, server.client(MALLORY)):
        response = await client.get(relations_path(room_id, parent))
        assert error_of(response) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize("where", ["another room", "nowhere"])
async def test_a_parent_that_is_not_in_the_room_is_not_found(
    server: Server, where: str
) -> None:
    alice = server.client(ALICE)
    room_id, other_id = [await create_room(alice) for _ in range(2)]
    parent = "$nowhere"
    if where == "another room":
        parent = await send(alice, other_id)
    await relate(alice, room_id, "m.reference", parent)

    response = await alice.get(relations_path(room_id, parent))

    assert error_of(response) == (404, "M_NOT_FOUND")


async def test_children_of_another_room_do_not_count(server: Server) -> None:
    alice = server.client(ALICE)
    room_id, other_id = [await create_room(alice) for _ in range(2)]
    parent = await send(alice, room_id)
    await relate(alice, other_id, "m.reference", parent)

    assert ids(await related(alice, room_id, parent, recurse="true")) == []


@pytest.mark.parametrize(
    "query",
    [
        {"dir": "x"},
        {"limit": "0"},
        {"limit": "many"},
        {"from": "nonsense"},
        {"to": "nonsense"},
        {"recurse": "perhaps"},
    ],
)
async def test_a_malformed_parameter_is_refused(
    server: Server, query: dict[str, str]
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    parent = await send(alice, room_id)

    response = await alice.get(relations_path(room_id, parent), query=query)

    assert error_of(response) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize(
    "relation",
    [
        "m.reference",
        {"rel_type": "m.reference"},
        {"rel_type": ["m.reference"], "event_id": "$event"},
        {"rel_type": "m.reference", "event_id": {"$event": 1}},
        {"rel_type": "m.reference", "event_id": "$" + "x" * 60_000},
        {"rel_type": "x" * 60_000, "event_id": "$event"},
    ],
)
async def test_a_malformed_relation_is_sent_and_means_nothing(
    server: Server, relation: object
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    response = await alice.put(
        f"/v3/rooms/{quote(room_id)}/send/m.room.message/malformed",
        {"body": "", "m.relates_to": relation},
    )

    assert response.status == 200
    stored = await server.db.all("SELECT * FROM rooms_relations")
    assert stored == []
