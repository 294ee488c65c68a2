"""Which rooms the filters of a list let through."""

from typing import Any

import pytest

from tests.features.rooms import create_room, join, set_state
from tests.features.sliding_sync.polling import ALICE, BOB, a_list, slide
from tests.server import Server, UserClient


async def _listed(
    client: UserClient,
    **filters: Any,  # noqa: ANN401 - as the filters have them
) -> set[str]:
    """The rooms of a list with these filters; its count is theirs."""
    answer = await slide(client, lists={"some": a_list(**filters)})
    rooms: dict[str, Any] = answer["rooms"]
    assert answer["lists"]["some"]["count"] == len(rooms)
    return set(rooms)


async def test_rooms_pass_by_their_type(server: Server) -> None:
    alice = server.client(ALICE)
    space = await create_room(alice, creation_content={"type": "m.space"})
    odd = await create_room(alice, creation_content={"type": "org.odd"})
    plain = await create_room(alice)

    assert await _listed(alice, room_types=["m.space"]) == {space}
    assert await _listed(alice, room_types=["m.space", None]) == {space, plain}
    assert await _listed(alice, room_types=[]) == set()
    assert await _listed(alice, not_room_types=["m.space"]) == {odd, plain}
    assert await _listed(alice, not_room_types=[None]) == {odd, space}
    both = {"room_types": ["m.space", "org.odd"], "not_room_types": ["m.space"]}
    assert await _listed(alice, **both) == {odd}


async def test_rooms_pass_by_their_encryption_as_it_is_now(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    assert await _listed(alice, is_encrypted=True) == set()
    assert await _listed(alice, is_encrypted=False) == {room_id}
    content = {"algorithm": "m.megolm.v1.aes-sha2"}
    await set_state(alice, room_id, "m.room.encryption", content)
    assert await _listed(alice, is_encrypted=True) == {room_id}
    assert await _listed(alice, is_encrypted=False) == set()


async def test_rooms_pass_by_their_name(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Tea at FIVE")
    await create_room(alice)
    await set_state(alice, await create_room(alice), "m.room.name", {"name": 5})

    assert await _listed(alice, room_name_like="at five") == {room_id}
    assert await _listed(alice, room_name_like="six") == set()


async def test_rooms_pass_by_being_direct_chats(server: Server) -> None:
    alice = server.client(ALICE)
    direct, other = await create_room(alice), await create_room(alice)
    path = f"/v3/user/{ALICE}/account_data/m.direct"
    assert await _listed(alice, is_dm=True) == set()

    await alice.put(path, {BOB: [direct]})

    assert await _listed(alice, is_dm=True) == {direct}
    assert await _listed(alice, is_dm=False) == {other}


async def test_rooms_pass_by_their_tags(server: Server) -> None:
    alice = server.client(ALICE)
    rooms = [await create_room(alice) for _ in range(3)]
    tags = f"/v3/user/{ALICE}/rooms/{{}}/tags/{{}}"
    assert await _listed(alice, tags=["m.favourite"]) == set()

    await alice.put(tags.format(rooms[0], "m.favourite"), {})
    await alice.put(tags.format(rooms[1], "m.favourite"), {})
    await alice.put(tags.format(rooms[1], "m.lowpriority"), {})

    assert await _listed(alice, tags=["m.favourite"]) == {rooms[0], rooms[1]}
    assert await _listed(alice, not_tags=["m.lowpriority"]) == {rooms[0], rooms[2]}
    both = {"tags": ["m.favourite"], "not_tags": ["m.lowpriority"]}
    assert await _listed(alice, **both) == {rooms[0]}


async def test_rooms_pass_by_the_spaces_they_are_in(server: Server) -> None:
    """Of spaces that the user is in; what is not a child any more is not."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id, gone = await create_room(alice), await create_room(alice)
    space = await create_room(alice, creation_content={"type": "m.space"})
    foreign = await create_room(bob, creation_content={"type": "m.space"})
    via = {"via": ["test"]}
    await set_state(alice, space, "m.space.child", via, room_id)
    await set_state(alice, space, "m.space.child", via, gone)
    await set_state(alice, space, "m.space.child", {}, gone)
    await set_state(bob, foreign, "m.space.child", via, gone)

    assert await _listed(alice, spaces=[space, foreign, "!none:test"]) == {room_id}
    assert await _listed(alice, spaces=[foreign]) == set()


async def test_rooms_pass_by_being_invitations(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    joined = await create_room(alice, preset="public_chat")
    await join(bob, joined)
    await bob.get("/v3/account/whoami")
    invited = await create_room(alice, invite=[BOB])

    assert await _listed(bob, is_invite=True) == {invited}
    assert await _listed(bob, is_invite=False) == {joined}
    assert await _listed(bob) == {invited, joined}


@pytest.mark.parametrize("is_encrypted", [True, False])
async def test_what_happened_after_a_kick_is_not_told_by_a_filter(
    server: Server, *, is_encrypted: bool
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await alice.post(f"/v3/rooms/{room_id}/kick", {"user_id": BOB})
    content = {"algorithm": "m.megolm.v1.aes-sha2"}
    await set_state(alice, room_id, "m.room.encryption", content)

    listed = await _listed(bob, is_encrypted=is_encrypted)

    assert listed == (set() if is_encrypted else {room_id})
