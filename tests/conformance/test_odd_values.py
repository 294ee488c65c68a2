"""Values that are odd but good: they come back as they were given, byte for byte."""

from itertools import count
from typing import Final
from urllib.parse import quote

import pytest

from tests.conformance.attacker import Attacker
from tests.conformance.world import World

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

_numbers = count(1)

ODD_VALUES: Final = {
    "empty key": {"": {"": ""}},
    "keys that differ only in normal form": {"\u00e9": 1, "e\u0301": 2},
    "keys that differ only in case": {"a": 1, "A": 2, "\u0131": 3, "I": 4},
    "key of an event": {"event_id": "$x", "unsigned": {"age": 1}, "sender": "@x:y"},
    "byte order mark": "\ufeff",
    "separators": "\u2028\u2029\x85",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "controls": "\x01\x1b[31m\x7f\x9b",
    "quotes": "\"\\'`$(x);--%s{0}:x",
    "direction": "\u202e\u2066",
    "largest integers": [2**53 - 1, -(2**53) + 1],
    "nested": [[[[[[[[[[{"a": [None]}]]]]]]]]]],
}
# Where the value is put, and read.
PLACES: Final = {
    "state": "/v3/rooms/{room}/state/org.example.odd/",
    "account data": "/v3/user/{user}/account_data/org.example.odd",
    "account data of a room": (
        "/v3/user/{user}/rooms/{room}/account_data/org.example.odd"
    ),
    "profile": "/v3/profile/{user}/org.example.odd",
}
KEY: Final = "org.example.odd"


@pytest.mark.parametrize("value", ODD_VALUES.values(), ids=ODD_VALUES)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
async def test_an_odd_value_comes_back(
    attacker: Attacker, place: str, value: object
) -> None:
    world = attacker.world
    path = place.format(room=quote(world.room_id), user=quote(world.user_id))

    put = await world.alice.put(path, {KEY: value})
    got = await world.alice.get(path)

    assert put.status == 200, put.body
    assert got.json == {KEY: value}


@pytest.mark.parametrize("value", ODD_VALUES.values(), ids=ODD_VALUES)
async def test_an_odd_value_in_an_event_reaches_others(
    attacker: Attacker, value: object
) -> None:
    world = attacker.world
    since = await sync_token(world)

    room = f"/v3/rooms/{quote(world.room_id)}"
    sent = await world.alice.put(f"{room}/send/{KEY}/t{next(_numbers)}", {KEY: value})
    got = await world.bob.get(f"{room}/event/{sent.json['event_id']}")
    synced = await world.bob.get(f"/v3/sync?since={since}")

    assert got.json["content"] == {KEY: value}
    timeline = synced.json["rooms"]["join"][world.room_id]["timeline"]["events"]
    assert [event["content"] for event in timeline] == [{KEY: value}]


async def sync_token(world: World) -> str:
    """Where Bob is now."""
    response = await world.bob.get("/v3/sync")
    token: str = response.json["next_batch"]
    return token
