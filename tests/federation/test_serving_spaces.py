"""Spaces that other servers ask for."""

from urllib.parse import quote

import pytest

from tests.conftest import DatabaseSource
from tests.features.rooms import create_room, error_of, member
from tests.features.spaces.trees import add_child, children, create_space
from tests.federation.network import Federation
from tests.federation.remote import FAR, Remote, add_remote
from tests.http_client import Client, HttpResponse
from tests.query_counter import counted
from tests.server import Server

ALICE = "@alice:a.test"


@pytest.fixture
async def server(database_source: DatabaseSource, federation: Federation) -> Server:
    return await federation.start("a.test", database_source)


@pytest.fixture
def alice(server: Server) -> Client:
    return server.client(ALICE)


@pytest.fixture
def remote(federation: Federation) -> Remote:
    return add_remote(federation, FAR)


async def ask(
    remote: Remote, server: Server, room_id: str, **query: str
) -> HttpResponse:
    """What *server* tells *remote* of a room."""
    return await remote.ask(server, f"/v1/hierarchy/{quote(room_id)}", query)


def ids(answer: HttpResponse) -> list[str]:
    return [room["room_id"] for room in answer.json["children"]]


async def space_with(alice: Client, *room_ids: str) -> str:
    """A space with rooms."""
    space = await create_space(alice)
    for room_id in room_ids:
        await add_child(alice, space, room_id)
    return space


async def test_another_server_is_told_of_a_space_and_its_children(
    server: Server, alice: Client, remote: Remote
) -> None:
    space, inner = await create_space(alice, name="Top"), await create_space(alice)
    public = await create_room(alice, preset="public_chat", name="Public")
    private = await create_room(alice, name="Private")
    deep = await create_room(alice, preset="public_chat")
    for room_id in (inner, public, private, "!elsewhere:far.test"):
        await add_child(alice, space, room_id, suggested=room_id == public)
    await add_child(alice, inner, deep)

    answer = await ask(remote, server, space)

    assert answer.status == 200
    assert answer.json["room"]["name"] == "Top"
    assert len(answer.json["room"]["children_state"]) == 4
    # Not the children of children, nor what is not known here.
    assert ids(answer) == [inner, public]
    assert "children_state" not in answer.json["children"][0]
    assert answer.json["inaccessible_children"] == [private]
    assert b"Private" not in answer.body
    suggested = await ask(remote, server, space, suggested_only="true")
    assert ids(suggested) == [public]
    assert children(suggested.json["room"]) == [public]
    assert suggested.json["inaccessible_children"] == []


@pytest.mark.parametrize("rule", ["invite", "private", "restricted"])
async def test_cve_2021_39163_another_server_is_not_told_of_a_private_room(
    server: Server, alice: Client, remote: Remote, rule: str
) -> None:
    rules = {"type": "m.room.join_rules", "content": {"join_rule": rule}}
    room_id = await create_room(alice, name="Secret", initial_state=[rules])

    answer = await ask(remote, server, room_id)

    assert error_of(answer) == (404, "M_NOT_FOUND")
    unknown = await ask(remote, server, "!no:a.test")
    assert answer.body == unknown.body


async def test_a_server_is_told_of_the_rooms_that_its_users_are_invited_to(
    server: Server, alice: Client, remote: Remote
) -> None:
    remote.answers["/v2/invite/"] = remote.accept_invite
    space, room_id = await create_space(alice), await create_room(alice)
    await add_child(alice, space, room_id)
    assert ids(await ask(remote, server, space)) == []

    invited = await member(alice, room_id, "invite", "@bob:far.test")

    assert invited.status == 200, invited.body
    assert ids(await ask(remote, server, space)) == [room_id]


async def test_a_server_is_told_of_restricted_rooms_that_its_users_may_join(
    server: Server, alice: Client, remote: Remote
) -> None:
    space = await create_space(alice)
    members = await create_room(alice, preset="public_chat", room_version="11")
    allow = [{"type": "m.room_membership", "room_id": members}]
    content = {"join_rule": "restricted", "allow": allow}
    rules = {"type": "m.room.join_rules", "content": content}
    room_id = await create_room(alice, initial_state=[rules])
    await add_child(alice, space, room_id)
    assert (await ask(remote, server, space)).json["inaccessible_children"] == [room_id]

    await remote.join(server, members)

    assert ids(await ask(remote, server, space)) == [room_id]


async def test_a_room_that_keeps_a_server_out_is_not_shown_to_it(
    server: Server, alice: Client, remote: Remote
) -> None:
    acl = {"allow": ["*"], "deny": ["FAR.test"]}
    banned = await create_room(
        alice,
        preset="public_chat",
        initial_state=[{"type": "m.room.server_acl", "content": acl}],
    )
    local = await create_room(
        alice, preset="public_chat", creation_content={"m.federate": False}
    )
    space = await space_with(alice, banned, local)

    answer = await ask(remote, server, space)

    assert ids(answer) == []
    # Their order is that of their IDs, if both were added within a millisecond.
    assert sorted(answer.json["inaccessible_children"]) == sorted([banned, local])
    for room_id in (banned, local):
        assert (await ask(remote, server, room_id)).status == 404


async def test_a_room_that_this_server_has_left_is_not_told_of(
    server: Server, alice: Client, remote: Remote
) -> None:
    room_id = await create_room(alice, preset="public_chat")
    space = await space_with(alice, room_id)
    assert (await alice.post(f"/v3/rooms/{room_id}/leave", {})).status == 200

    answer = await ask(remote, server, space)

    assert (ids(answer), answer.json["inaccessible_children"]) == ([], [])
    assert (await ask(remote, server, room_id)).status == 404


@pytest.mark.one_process(reason="it counts the queries of one process")
async def test_telling_of_a_space_costs_no_query_a_child(
    server: Server, alice: Client, remote: Remote
) -> None:
    rooms = [await create_room(alice, preset="public_chat") for _ in range(10)]
    space = await space_with(alice, *rooms)
    await ask(remote, server, space)

    with counted(server.db) as queries:
        assert len(ids(await ask(remote, server, space))) == 10

    assert queries.reads == []
