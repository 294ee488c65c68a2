"""CS getMutualRooms."""

import pytest

from tests.features.rooms import create_room, error_of, join
from tests.http_client import Client, HttpResponse
from tremula.features.mutual_rooms import routes

ALICE, BOB = "@alice:test", "@bob:test"
PATH = "/v1/mutual_rooms"


async def mutual(client: Client, **query: str) -> HttpResponse:
    return await client.get(PATH, query=query)


async def test_rooms_that_both_are_joined_to_are_shown(
    alice: Client, bob: Client
) -> None:
    shared = await create_room(alice, preset="public_chat")
    await join(bob, shared)
    left = await create_room(alice, preset="public_chat")
    await join(bob, left)
    await bob.post(f"/v3/rooms/{left}/leave", {})
    await create_room(alice, invite=[BOB])
    await create_room(alice)
    await create_room(bob)

    for client, other in ((alice, BOB), (bob, ALICE)):
        answer = await mutual(client, user_id=other)
        assert answer.json == {"joined": [shared], "count": 1}


async def test_pages_hold_each_room_once(
    alice: Client, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "_PAGE_ROOMS", 2)
    rooms = [await create_room(alice, preset="public_chat") for _ in range(5)]
    for room_id in rooms:
        await join(bob, room_id)

    seen: list[str] = []
    query = {"user_id": BOB}
    for size in (2, 2, 1):
        answer = (await mutual(alice, **query)).json
        assert (len(answer["joined"]), answer["count"]) == (size, 5)
        seen += answer["joined"]
        query["from"] = answer.get("next_batch", "")

    assert query["from"] == ""
    assert sorted(seen) == sorted(rooms)


@pytest.mark.parametrize("user_id", ["@nobody:test", "@nobody:far.test"])
async def test_nothing_is_shared_with_somebody_unknown(
    alice: Client, user_id: str
) -> None:
    await create_room(alice)

    answer = await mutual(alice, user_id=user_id)

    assert (answer.status, answer.json) == (200, {"joined": [], "count": 0})


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"user_id": ALICE}, "M_INVALID_PARAM"),
        ({"user_id": "bob"}, "M_INVALID_PARAM"),
        ({"user_id": "@bob"}, "M_INVALID_PARAM"),
        ({"user_id": "@b b:test"}, "M_INVALID_PARAM"),
        ({"user_id": "@:test"}, "M_INVALID_PARAM"),
        ({"user_id": BOB, "from": "x"}, "M_INVALID_PARAM"),
        ({"user_id": BOB, "from": "e30="}, "M_INVALID_PARAM"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    alice: Client, query: dict[str, str], errcode: str
) -> None:
    assert error_of(await mutual(alice, **query)) == (400, errcode)
