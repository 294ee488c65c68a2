"""Spaces whose rooms are at the other server."""

from urllib.parse import quote

import orjson
import pytest
from yarl import URL

from tests.interop.user import Json, User

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]

_VERSION = "11"


async def create_space(user: User, *children: tuple[str, User]) -> str:
    """A space with rooms, each at the server of somebody."""
    space_id = await user.create_room(
        _VERSION, creation_content={"type": "m.space"}, name="Space"
    )
    for number, (room_id, owner) in enumerate(children):
        content = {"via": [owner.peer.server_name], "order": str(number)}
        await user.set_state(space_id, "m.space.child", content, room_id)
    return space_id


async def hierarchy(user: User, room_id: str) -> list[Json]:
    path = f"/_matrix/client/v1/rooms/{quote(room_id, safe='')}/hierarchy"
    url = URL(user.peer.url + path, encoded=True)
    headers = {"Authorization": f"Bearer {user.token}"}
    async with user.session.get(url, headers=headers) as response:
        answer = orjson.loads(await response.read())
    assert response.status == 200, answer
    rooms: list[Json] = answer["rooms"]
    return rooms


async def test_a_space_shows_the_rooms_of_the_other_server(
    alice: User, bob: User
) -> None:
    public = await alice.create_room(_VERSION, name="Public")
    private = await alice.create_room(_VERSION, preset="private_chat", name="Private")
    inner = await create_space(alice, (public, alice), (private, alice))
    space = await create_space(bob, (inner, alice), (public, alice))

    rooms = await hierarchy(bob, space)

    assert [room["room_id"] for room in rooms] == [space, inner, public]
    assert rooms[1]["room_type"] == "m.space"
    children = [event["state_key"] for event in rooms[1]["children_state"]]
    assert children == [public, private]
    assert (rooms[2]["name"], rooms[2]["num_joined_members"]) == ("Public", 1)


async def test_who_was_invited_sees_the_private_room_of_a_space(
    alice: User, bob: User
) -> None:
    private = await alice.create_room(_VERSION, preset="private_chat", name="Private")
    inner = await create_space(alice, (private, alice))
    space = await create_space(bob, (inner, alice))
    await alice.invite(private, bob)
    await bob.until_invited(private)

    rooms = await hierarchy(bob, space)

    assert [room["room_id"] for room in rooms] == [space, inner, private]
