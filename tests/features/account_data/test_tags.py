"""Tags of rooms, over HTTP."""

import asyncio

import pytest

from tests.features.user_data import ALICE, BOB, MALLORY, UserDataServer
from tremula.features.account_data.tags import TAGS_MAX


async def test_tags_are_put_listed_and_deleted(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    alice = user_data.client(ALICE)
    path = f"/v3/user/{ALICE}/rooms/{room_id}/tags"

    assert (await alice.get(path)).json == {"tags": {}}
    favourite = {"order": 0.25, "org.example": "x"}
    assert (await alice.put(f"{path}/m.favourite", favourite)).json == {}
    assert (await alice.put(f"{path}/u.work", {})).json == {}

    tags = {"m.favourite": favourite, "u.work": {}}
    assert (await alice.get(path)).json == {"tags": tags}
    ctx = await user_data.context(ALICE)
    assert await user_data.room_events("account_data", ctx) == {
        room_id: [{"type": "m.tag", "content": {"tags": tags}}]
    }
    assert not await user_data.room_events("account_data", await user_data.context(BOB))

    for _ in range(2):
        assert (await alice.delete(f"{path}/m.favourite")).json == {}
    assert (await alice.get(path)).json == {"tags": {"u.work": {}}}


async def test_tags_put_at_the_same_time_are_all_kept(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE)
    alice = user_data.client(ALICE)
    path = f"/v3/user/{ALICE}/rooms/{room_id}/tags"

    await asyncio.gather(*(alice.put(f"{path}/u.{n}", {}) for n in range(10)))

    assert len((await alice.get(path)).json["tags"]) == 10


@pytest.mark.parametrize(
    ("name", "body", "errcode"),
    [
        ("t" * 256, {}, "M_INVALID_PARAM"),
        ("u.a", {"order": "0.5"}, "M_BAD_JSON"),
        ("u.a", {"order": True}, "M_BAD_JSON"),
        ("u.a", {"order": 1.5}, "M_INVALID_PARAM"),
        ("u.a", [], "M_BAD_JSON"),
    ],
)
async def test_a_malformed_tag_is_refused(
    user_data: UserDataServer, name: str, body: object, errcode: str
) -> None:
    room_id = await user_data.create_room(ALICE)
    alice = user_data.client(ALICE)
    path = f"/v3/user/{ALICE}/rooms/{room_id}/tags"

    response = await alice.put(f"{path}/{name}", body)

    assert (response.status, response.json["errcode"]) == (400, errcode)
    assert (await alice.get(path)).json == {"tags": {}}


async def test_a_room_has_a_bounded_number_of_tags(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    alice = user_data.client(ALICE)
    path = f"/v3/user/{ALICE}/rooms/{room_id}"
    tags: dict[str, object] = {f"u.{n}": {} for n in range(TAGS_MAX)}
    await alice.put(f"{path}/account_data/m.tag", {"tags": tags})

    response = await alice.put(f"{path}/tags/u.more", {})

    assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")


async def test_tags_survive_a_client_that_sets_them_to_nonsense(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE)
    alice = user_data.client(ALICE)
    path = f"/v3/user/{ALICE}/rooms/{room_id}"
    await alice.put(f"{path}/account_data/m.tag", {"tags": ["u.a"]})

    assert (await alice.get(f"{path}/tags")).json == {"tags": {}}
    await alice.put(f"{path}/tags/u.b", {})
    assert (await alice.get(f"{path}/tags")).json == {"tags": {"u.b": {}}}


async def test_tags_are_their_owners_alone(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    mallory = user_data.client(MALLORY)

    for owner in (ALICE, MALLORY):
        path = f"/v3/user/{owner}/rooms/{room_id}/tags"
        for response in (
            await mallory.get(path),
            await mallory.put(f"{path}/u.a", {}),
            await mallory.delete(f"{path}/u.a"),
        ):
            assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")
