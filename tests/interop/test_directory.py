"""Aliases and published rooms, asked for at the other server."""

import secrets

import pytest

from tests.interop.user import Refused, User

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]

_VERSION = "11"


async def test_a_room_is_joined_by_its_alias(
    alice: User, bob: User, version: str
) -> None:
    localpart = f"aspens-{secrets.token_hex(4)}"
    room_id = await alice.create_room(version, room_alias_name=localpart)
    alias = f"#{localpart}:{alice.peer.server_name}"

    found = await bob.get("directory", "room", alias)
    joined = await bob.post("join", alias)

    assert found["room_id"] == joined["room_id"] == room_id
    assert alice.peer.server_name in found["servers"]
    await alice.until_membership(room_id, bob, "join")


async def test_an_alias_that_was_removed_is_not_found(alice: User, bob: User) -> None:
    localpart = f"aspens-{secrets.token_hex(4)}"
    await alice.create_room(_VERSION, room_alias_name=localpart)
    alias = f"#{localpart}:{alice.peer.server_name}"
    await bob.get("directory", "room", alias)

    await alice.request("DELETE", ("directory", "room", alias))
    with pytest.raises(Refused) as refusal:
        await bob.get("directory", "room", alias)

    assert refusal.value.errcode == "M_NOT_FOUND"


async def test_published_rooms_are_listed_for_the_other_server(
    alice: User, bob: User
) -> None:
    name = f"Aspens {secrets.token_hex(4)}"
    room_id = await alice.create_room(_VERSION, name=name, visibility="public")

    listed = await bob.post(
        "publicRooms",
        query={"server": alice.peer.server_name},
        json={"filter": {"generic_search_term": name}},
    )

    assert [room["room_id"] for room in listed["chunk"]] == [room_id]
    assert listed["chunk"][0]["name"] == name
