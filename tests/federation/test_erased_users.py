"""What other servers are told of the events of erased users (CS deactivateAccount)."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import DatabaseSource
from tests.features.account.test_erased_events import erase
from tests.features.rooms import create_room, join, send, set_state
from tests.federation.network import Federation
from tests.federation.remote import FAR, Pdu, Remote, add_remote
from tests.server import Server, UserClient

ALICE, BOB = "@alice:a.test", "@bob:a.test"


@pytest.fixture
async def server(database_source: DatabaseSource, federation: Federation) -> Server:
    return await federation.start("a.test", database_source)


@pytest.fixture
def remote(federation: Federation) -> Remote:
    return add_remote(federation, FAR)


@pytest.fixture
def bob(server: Server) -> UserClient:
    return server.client(BOB)


async def make_room(server: Server, bob: UserClient, **body: object) -> str:
    """A room of Alice's, with Bob in it."""
    preset = {"preset": "public_chat", "room_version": "11"}
    room_id = await create_room(server.client(ALICE), **(preset | body))
    await join(bob, room_id)
    return room_id


async def told(
    remote: Remote, server: Server, room_id: str, event_id: str, endpoint: str
) -> Pdu:
    """An event as an endpoint tells of it."""
    room, event = quote(room_id), quote(event_id)
    if endpoint == "event":
        answer = await remote.ask(server, f"/v1/event/{event}")
    elif endpoint == "backfill":
        query = {"v": event_id, "limit": "1"}
        answer = await remote.ask(server, f"/v1/backfill/{room}", query)
    else:
        last_id = await send(server.client(ALICE), room_id, "last")
        answer = await remote.ask(
            server,
            f"/v1/get_missing_events/{room}",
            method="POST",
            content={"earliest_events": [], "latest_events": [last_id], "limit": 50},
        )
    assert answer.status == 200, answer.body
    pdus: list[Pdu] = answer.json.get("pdus") or answer.json["events"]
    wanted = (BOB, "m.room.message")
    [pdu] = [each for each in pdus if (each["sender"], each["type"]) == wanted]
    return pdu


@pytest.mark.parametrize("endpoint", ["event", "backfill", "get_missing_events"])
@pytest.mark.parametrize("is_newcomer", [True, False])
async def test_servers_that_come_later_get_redacted_copies(
    server: Server, remote: Remote, bob: UserClient, endpoint: str, *, is_newcomer: bool
) -> None:
    """ "Users (or servers) which join the room after the erasure request"."""
    room_id = await make_room(server, bob)
    if not is_newcomer:
        await remote.join(server, room_id)
    event_id = await send(bob, room_id, "secret")

    await erase(bob)
    await remote.join(server, room_id, "late")

    pdu = await told(remote, server, room_id, event_id, endpoint)
    assert pdu["content"].get("body") == (None if is_newcomer else "secret")


async def test_what_was_said_before_a_server_came_is_shared_with_its_users(
    server: Server, remote: Remote, bob: UserClient
) -> None:
    """As long as they came before the erasure."""
    room_id = await make_room(server, bob)
    event_id = await send(bob, room_id, "secret")

    await remote.join(server, room_id)
    await erase(bob)

    pdu = await told(remote, server, room_id, event_id, "event")
    assert pdu["content"]["body"] == "secret"


async def test_a_server_that_comes_back_gets_what_its_users_had_seen(
    server: Server, remote: Remote, bob: UserClient
) -> None:
    room_id = await make_room(server, bob)
    await remote.join(server, room_id)
    seen_id = await send(bob, room_id, "seen")
    alice = server.client(ALICE)
    kick = {"user_id": f"@far:{FAR}"}
    assert (await alice.post(f"/v3/rooms/{room_id}/kick", kick)).status == 200
    missed_id = await send(bob, room_id, "missed")

    await erase(bob)
    await remote.join(server, room_id)

    seen, missed = [
        await told(remote, server, room_id, event_id, "event")
        for event_id in (seen_id, missed_id)
    ]
    assert (seen["content"]["body"], missed["content"]) == ("seen", {})


async def test_what_others_sent_is_not_erased(
    server: Server, remote: Remote, bob: UserClient
) -> None:
    room_id = await make_room(server, bob)
    event_id = await send(server.client(ALICE), room_id, "hers")

    await erase(bob)
    await remote.join(server, room_id)

    answer = await remote.ask(server, f"/v1/event/{quote(event_id)}")
    assert answer.json["pdus"][0]["content"]["body"] == "hers"


async def test_newcomers_do_not_learn_the_erased_users_name(
    server: Server, remote: Remote, bob: UserClient
) -> None:
    """And learn of the room's state what they need."""
    room_id = await make_room(
        server, bob, power_level_content_override={"users": {ALICE: 100, BOB: 100}}
    )
    named = {"membership": "join", "displayname": "Robert"}
    member_id = await _state_id(bob, room_id, "m.room.member", named, BOB)
    topic_id = await _state_id(bob, room_id, "m.room.topic", {"topic": "Aspens"})

    await erase(bob)
    await remote.join(server, room_id)

    member, topic = [
        (await remote.ask(server, f"/v1/event/{quote(event_id)}")).json["pdus"][0]
        for event_id in (member_id, topic_id)
    ]
    assert member["content"] == {"membership": "join"}
    assert topic["content"] == {"topic": "Aspens"}


@pytest.mark.parametrize(
    ("version", "is_named"), [("8", True), ("9", False), ("11", False)]
)
async def test_a_restricted_join_stays_authorised(
    server: Server, remote: Remote, bob: UserClient, version: str, *, is_named: bool
) -> None:
    """In room version 8 a redacted one names nobody who let the user in."""
    members = await make_room(server, bob)
    allow = [{"type": "m.room_membership", "room_id": members}]
    rules = {"join_rule": "restricted", "allow": allow}
    room_id = await make_room(
        server,
        bob,
        room_version=version,
        initial_state=[{"type": "m.room.join_rules", "content": rules}],
    )
    joined: dict[str, Any] = (
        await server.client(ALICE).get(f"/v3/rooms/{room_id}/messages?dir=b&limit=1")
    ).json["chunk"][0]
    await _state_id(
        server.client(ALICE), room_id, "m.room.join_rules", {"join_rule": "public"}
    )

    await erase(bob)
    await remote.join(server, room_id)

    path = f"/v1/event/{quote(joined['event_id'])}"
    content = (await remote.ask(server, path)).json["pdus"][0]["content"]
    assert content["join_authorised_via_users_server"] == ALICE
    assert ("displayname" in content) is is_named


async def _state_id(
    client: UserClient,
    room_id: str,
    event_type: str,
    content: object,
    state_key: str = "",
) -> str:
    response = await set_state(client, room_id, event_type, content, state_key)
    assert response.status == 200, response.body
    event_id: str = response.json["event_id"]
    return event_id
