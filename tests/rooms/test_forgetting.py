"""What is in memory only saves queries: without it, everything is as it was.

A process forgets when news of another one did not reach it (`Journal.forget`).
"""

import asyncio
from typing import Any

from tests.features.rooms import create_room, join, send, set_state
from tests.server import Server, UserClient

ALICE = "@alice:test"
BOB = "@bob:test"


def forget(server: Server) -> None:
    """Have the server lose everything that announcements keep up to date."""
    for app in server.apps:
        app.journal.forget(app.journal.position)


async def synced(user: UserClient, since: str | None = None) -> dict[str, Any]:
    query = {"set_presence": "offline", **({"since": since} if since else {})}
    answer: dict[str, Any] = (await user.get("/v3/sync", query=query)).json
    return answer


async def test_news_from_before_are_read_from_the_database(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    since = (await synced(bob))["next_batch"]
    message = await send(alice, room_id)
    await set_state(alice, room_id, "m.room.topic", {"topic": "Trees"})

    forget(server)

    room = (await synced(bob, since))["rooms"]["join"][room_id]
    events = room["timeline"]["events"]
    assert events[0]["event_id"] == message
    assert [event["type"] for event in events[1:]] == ["m.room.topic"]


async def test_events_follow_those_from_before(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    before = await send(alice, room_id)
    since = (await synced(bob))["next_batch"]

    forget(server)
    after = await send(alice, room_id)

    news = await synced(bob, since)
    [event] = news["rooms"]["join"][room_id]["timeline"]["events"]
    assert event["event_id"] == after
    path = f"/v3/rooms/{room_id}/messages"
    page = (await bob.get(path, query={"dir": "b", "limit": "2"})).json["chunk"]
    assert [event["event_id"] for event in page] == [after, before]


async def test_whoever_waits_looks_again(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    since = (await synced(bob))["next_batch"]
    query = {"set_presence": "offline", "since": since, "timeout": "30000"}
    waiting = asyncio.ensure_future(bob.get("/v3/sync", query=query))
    while not server.waiting_users:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)

    forget(server)
    event_id = await send(alice, room_id)

    room = (await waiting).json["rooms"]["join"][room_id]
    assert [event["event_id"] for event in room["timeline"]["events"]] == [event_id]


async def test_a_room_read_anew_names_its_members_anew(server: Server) -> None:
    """What was made of its members before it was forgotten is not taken for theirs."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    forget(server)
    alone = (await synced(alice))["rooms"]["join"][room_id]["summary"]
    assert "m.heroes" not in alone
    await join(bob, room_id)

    forget(server)

    together = (await synced(alice))["rooms"]["join"][room_id]["summary"]
    assert together["m.heroes"] == [BOB]


async def test_a_logout_is_not_forgotten(server: Server) -> None:
    alice = server.client(ALICE)
    await alice.get("/v3/account/whoami")

    forget(server)
    assert (await alice.get("/v3/account/whoami")).status == 200
    await alice.post("/v3/logout", {})
    forget(server)

    assert (await alice.get("/v3/account/whoami")).status == 401
