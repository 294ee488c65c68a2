"""Subscribing to threads, over HTTP (MSC4306, MSC4308)."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.features.relations.relating import redact, relate, reply
from tests.features.rooms import create_room, error_of, join, send, set_state
from tests.http_client import Client, HttpResponse
from tests.server import Server

ALICE, BOB, MALLORY = "@alice:test", "@bob:test", "@mallory:test"

UNSTABLE = "/unstable/io.element.msc4306"
PREFIX = "IO.ELEMENT.MSC4306."


def path(room_id: str, root_id: str) -> str:
    """The subscription to a thread."""
    thread = f"thread/{quote(root_id, safe='')}"
    return f"{UNSTABLE}/rooms/{quote(room_id)}/{thread}/subscription"


async def subscribe(
    client: Client, room_id: str, root_id: str, **body: object
) -> HttpResponse:
    """Subscribe to a thread; *body* may name an event that is the cause."""
    return await client.put(path(room_id, root_id), body)


async def subscription(
    client: Client, room_id: str, root_id: str
) -> tuple[int, dict[str, Any]]:
    """What a client is told of its subscription."""
    response = await client.get(path(room_id, root_id))
    return response.status, response.json


async def changes(client: Client, **query: str | int) -> dict[str, Any]:
    """A page of what has changed, which must be allowed."""
    response = await client.get(
        "/unstable/io.element.msc4308/thread_subscriptions",
        query={"dir": "b", **query},
    )
    assert response.status == 200, response.body
    page: dict[str, Any] = response.json
    return page


async def test_a_user_subscribes_and_unsubscribes(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    root = await send(alice, room_id)

    assert (await subscription(alice, room_id, root))[0] == 404
    assert (await alice.delete(path(room_id, root))).json == {}
    assert (await subscribe(alice, room_id, root)).json == {}
    assert await subscription(alice, room_id, root) == (200, {"automatic": False})
    for _ in range(2):
        assert (await alice.delete(path(room_id, root))).json == {}
    assert (await subscription(alice, room_id, root))[0] == 404


async def test_what_the_user_wants_stands_above_what_a_client_wants(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    root = await send(alice, room_id)
    cause = await reply(alice, room_id, root)

    found = []
    for body in ({"automatic": cause}, {}, {"automatic": cause}):
        assert (await subscribe(alice, room_id, root, **body)).status == 200
        found.append(await subscription(alice, room_id, root))

    assert [each["automatic"] for _, each in found] == [True, False, False]


async def test_a_client_does_not_undo_an_unsubscription(server: Server) -> None:
    """But for what has come since."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    root = await send(alice, room_id)
    before = await reply(alice, room_id, root)
    await subscribe(alice, room_id, root, automatic=before)
    await alice.delete(path(room_id, root))

    refused = await subscribe(alice, room_id, root, automatic=before)
    after = await reply(alice, room_id, root)
    allowed = await subscribe(alice, room_id, root, automatic=after)

    assert error_of(refused) == (409, f"{PREFIX}M_CONFLICTING_UNSUBSCRIPTION")
    assert allowed.status == 200
    assert await subscription(alice, room_id, root) == (200, {"automatic": True})


async def test_a_user_may_subscribe_again(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    root = await send(alice, room_id)
    await subscribe(alice, room_id, root)
    await alice.delete(path(room_id, root))

    assert (await subscribe(alice, room_id, root)).status == 200

    assert await subscription(alice, room_id, root) == (200, {"automatic": False})


async def test_the_cause_must_be_in_the_thread(server: Server) -> None:
    alice = server.client(ALICE)
    room_id, other_id = [await create_room(alice) for _ in range(2)]
    root, other_root = [await send(alice, room_id) for _ in range(2)]
    redacted = await reply(alice, room_id, root)
    await redact(alice, room_id, redacted)
    causes = [
        root,
        redacted,
        "$unknown",
        await reply(alice, room_id, other_root),
        await relate(alice, room_id, "m.reference", root),
        await reply(alice, other_id, root),
    ]

    for cause in causes:
        response = await subscribe(alice, room_id, root, automatic=cause)
        assert error_of(response) == (400, f"{PREFIX}M_NOT_IN_THREAD")


async def test_a_cause_that_is_no_event_id_is_refused(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    root = await send(alice, room_id)

    response = await subscribe(alice, room_id, root, automatic=True)

    assert error_of(response) == (400, "M_INVALID_PARAM")


async def test_a_thread_that_the_user_may_not_see_is_not_found(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    visibility = {"history_visibility": "joined"}
    await set_state(alice, room_id, "m.room.history_visibility", visibility)
    root = await send(alice, room_id)
    await join(bob, room_id)

    for client, wanted in (
        (bob, path(room_id, root)),
        (server.client(MALLORY), path(room_id, root)),
        (alice, path(room_id, "$unknown")),
        (alice, path("!unknown:test", root)),
    ):
        for answer in (
            await client.get(wanted),
            await client.put(wanted, {}),
            await client.delete(wanted),
        ):
            assert error_of(answer) == (404, "M_NOT_FOUND")


async def test_changes_are_told_by_room_newest_first(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id, other_id = [
        await create_room(alice, preset="public_chat") for _ in range(2)
    ]
    await join(bob, room_id)
    wanted, automatic, unwanted = [await send(alice, room_id) for _ in range(3)]
    elsewhere = await send(alice, other_id)
    cause = await reply(alice, room_id, automatic)
    await subscribe(alice, other_id, elsewhere)
    await subscribe(alice, room_id, unwanted)
    await subscribe(bob, room_id, wanted)
    await subscribe(alice, room_id, wanted)
    await alice.delete(path(room_id, unwanted))
    await subscribe(alice, room_id, automatic, automatic=cause)

    first = await changes(alice, limit=2)
    second = await changes(alice, limit=2, **{"from": first["end"]})

    stamp = first["subscribed"][room_id][automatic].pop("bump_stamp")
    ended = first["unsubscribed"][room_id][unwanted].pop("bump_stamp")
    assert stamp > ended
    assert first.pop("end")
    assert first == {
        "subscribed": {room_id: {automatic: {"automatic": True}}},
        "unsubscribed": {room_id: {unwanted: {}}},
    }
    assert "end" not in second
    assert set(second["subscribed"]) == {room_id, other_id}
    assert set(second["subscribed"][room_id]) == {wanted}
    assert "unsubscribed" not in second


async def test_changes_end_where_the_client_was(server: Server) -> None:
    """The position of sliding sync, and the tokens of this endpoint."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    roots = [await send(alice, room_id) for _ in range(3)]
    stamps = []
    for root in roots:
        await subscribe(alice, room_id, root)
        page = await changes(alice, limit=1)
        stamps.append(page["subscribed"][room_id][root]["bump_stamp"])

    for since in (f"s{stamps[0]}", f"7_{stamps[0]}"):
        page = await changes(alice, to=since, **{"from": f"s{stamps[1]}"})
        assert set(page["subscribed"][room_id]) == {roots[1]}
    assert await changes(alice, to=f"s{stamps[2]}") == {}


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"dir": "f"}, "M_INVALID_PARAM"),
        ({"dir": "b", "limit": "0"}, "M_INVALID_PARAM"),
        ({"dir": "b", "from": "nonsense"}, "M_INVALID_PARAM"),
        ({"dir": "b", "to": "s-1"}, "M_INVALID_PARAM"),
    ],
)
async def test_a_malformed_parameter_is_refused(
    server: Server, query: dict[str, str], errcode: str
) -> None:
    response = await server.client(ALICE).get(
        "/unstable/io.element.msc4308/thread_subscriptions", query=query
    )

    assert error_of(response) == (400, errcode)


async def test_nobody_else_is_told(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    root = await send(alice, room_id)
    await subscribe(alice, room_id, root)

    assert await changes(bob) == {}
    assert (await subscription(bob, room_id, root))[0] == 404


async def test_the_server_says_that_it_knows_thread_subscriptions(
    server: Server,
) -> None:
    versions = await server.anonymous.get("/_matrix/client/versions")

    known = versions.json["unstable_features"]
    assert known["org.matrix.msc4306"] is True
    assert known["org.matrix.msc4308"] is True
