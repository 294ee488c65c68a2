"""Users of other servers are found, and messages that come from there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.features.rooms import create_room, send, set_state
from tests.features.search.searching import found as messages_found
from tests.features.user_directory.people import found, results
from tests.federation.memberships import join, membership, until
from tests.federation.network import running_federation
from tests.http_client import Client
from tests.server import Server

ALICE, CAROL, BOB = "@alice:one.test", "@carol:one.test", "@bob:two.test"


@pytest.fixture
async def servers(
    database_source: DatabaseSource, tmp_path: Path
) -> AsyncIterator[tuple[Server, Server]]:
    folder = tmp_path / "federation"
    folder.mkdir()
    async with running_federation(folder) as federation:
        one = await federation.start("one.test")
        yield one, await federation.start("two.test", database_source)


async def _room(owner: Client, **body: object) -> str:
    return await create_room(owner, preset="public_chat", **body)


async def _call_oneself(client: Client, room_id: str, user_id: str, name: str) -> None:
    content = {"membership": "join", "displayname": name}
    response = await set_state(client, room_id, "m.room.member", content, user_id)
    assert response.status == 200, response.body


async def _until_joined(client: Client, room_id: str, user_id: str) -> None:
    async def is_joined() -> bool:
        return await membership(client, room_id, user_id) == "join"

    await until(client, is_joined)


async def test_who_was_there_before_is_found(servers: tuple[Server, Server]) -> None:
    """Their joins are known from the room's state only."""
    alice, carol = (servers[0].client(each) for each in (ALICE, CAROL))
    bob = servers[1].client(BOB)
    room_id = await _room(alice)
    assert (await join(carol, room_id)).status == 200
    await _call_oneself(carol, room_id, CAROL, "Caroline Müller")
    assert (await join(bob, room_id, "one.test")).status == 200
    await _until_joined(bob, room_id, CAROL)

    people = await results(bob, "muller")

    assert people == [{"user_id": CAROL, "display_name": "Caroline Müller"}]
    assert await found(bob, "alice one.test") == [ALICE]
    assert await found(alice, "bob") == [BOB]


async def test_no_name_shows_that_somebody_has_in_another_room(
    servers: tuple[Server, Server],
) -> None:
    alice, carol = (servers[0].client(each) for each in (ALICE, CAROL))
    bob, dave = (servers[1].client(each) for each in (BOB, "@dave:two.test"))
    shared, secret = await _room(alice), await _room(alice)
    for room_id, client in ((shared, bob), (secret, dave)):
        assert (await join(client, room_id, "one.test")).status == 200
        await set_state(alice, room_id, "m.room.join_rules", {"join_rule": "invite"})
    await _call_oneself(alice, secret, ALICE, "Agent Zero")

    async def is_renamed() -> bool:
        return await found(dave, "zero") == [ALICE]

    await until(dave, is_renamed)
    assert await found(bob, "zero") == []
    assert await results(bob, "alice") == [{"user_id": ALICE, "display_name": "alice"}]
    assert carol.token is None


async def test_messages_of_other_servers_are_found(
    servers: tuple[Server, Server],
) -> None:
    alice, bob = servers[0].client(ALICE), servers[1].client(BOB)
    room_id = await _room(alice)
    earlier = await send(alice, room_id, "an early needle")
    assert (await join(bob, room_id, "one.test")).status == 200
    later = await send(alice, room_id, "a late needle")

    async def has_come() -> bool:
        return await messages_found(bob, "late needle") == [later]

    await until(bob, has_come)
    # Reading on fetches the past, which then is found as well, as the older one.
    await bob.get(f"/v3/rooms/{room_id}/messages", query={"dir": "b", "limit": 100})
    assert await messages_found(bob, "needle", order_by="recent") == [later, earlier]
