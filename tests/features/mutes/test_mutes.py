"""Rooms muted by account data (``com.beeper.mute``), over HTTP."""

from urllib.parse import quote

import pytest

from tests.features.push.notifying import room_of, say, unread
from tests.features.user_data import ALICE, BOB, UserDataServer
from tests.http_client import Client
from tests.server import Server
from tremula.features.mutes import storage
from tremula.protocol.identifiers import RoomId

FOR_EVER = {"muted_until": -1}


async def set_mute(client: Client, room_id: str, content: object) -> None:
    """Bob sets the room's account data, as a bridge does for him."""
    response = await client.put(
        f"/v3/user/{BOB}/rooms/{quote(room_id)}/account_data/com.beeper.mute", content
    )
    assert (response.status, response.json) == (200, {})


async def is_muted(server: UserDataServer, room_id: RoomId) -> bool:
    """Whether a rule of Bob's notifies of nothing in the room."""
    content = await server.push_rules.content(BOB)
    rules = [r for r in content["global"]["override"] if r["rule_id"] == room_id]
    condition = {"kind": "event_match", "key": "room_id", "pattern": room_id}
    assert all(list(rule["conditions"]) == [condition] for rule in rules)
    return any(not rule["actions"] and rule["enabled"] for rule in rules)


async def test_a_muted_room_notifies_of_nothing(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of(server, ALICE, BOB)
    other_id = await room_of(server, ALICE, BOB)
    await set_mute(bob, room_id, FOR_EVER)
    mention = {"m.mentions": {"user_ids": [BOB]}}
    for each in (room_id, other_id):
        await say(alice, each, content=mention)

    assert await unread(bob, room_id) == (0, 0)
    assert await unread(bob, other_id) == (1, 1)
    await set_mute(bob, room_id, {"muted_until": 0})
    await say(alice, room_id)
    assert await unread(bob, room_id) == (1, 0)


async def test_a_mute_ends(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    until_ts_ms = user_data.clock.now_ms() + 60_000
    await set_mute(user_data.client(BOB), room_id, {"muted_until": until_ts_ms})

    user_data.clock.advance_ms(59_999)
    assert not await user_data.mutes.end_some()
    assert await is_muted(user_data, room_id)
    user_data.clock.advance_ms(1)

    assert await user_data.mutes.end_some()
    assert not await is_muted(user_data, room_id)
    assert not await user_data.mutes.end_some()


@pytest.mark.parametrize("content", [FOR_EVER, {"muted_until": 0}, {}])
async def test_what_is_set_later_takes_the_place_of_an_end(
    user_data: UserDataServer, content: dict[str, int]
) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    until_ts_ms = user_data.clock.now_ms() + 60_000
    await set_mute(user_data.client(BOB), room_id, {"muted_until": until_ts_ms})

    await set_mute(user_data.client(BOB), room_id, content)
    user_data.clock.advance_ms(120_000)

    assert await is_muted(user_data, room_id) is (content == FOR_EVER)
    now_ms = user_data.clock.now_ms()
    assert not await storage.mutes_ended(user_data.database, now_ms=now_ms, limit=1)


@pytest.mark.parametrize("until", [None, "x", True, 1.5, -2, 2**53, 1])
async def test_what_is_no_time_to_come_mutes_nothing(
    user_data: UserDataServer, until: object
) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    await set_mute(user_data.client(BOB), room_id, FOR_EVER)

    await set_mute(user_data.client(BOB), room_id, {"muted_until": until})

    assert not await is_muted(user_data, room_id)


async def test_a_mute_that_a_crash_left_half_done_ends(
    user_data: UserDataServer,
) -> None:
    """Its end is stored before the rule, and the account data before both."""
    room_id = await user_data.create_room(ALICE, BOB)
    await user_data.account_data.update_in_room(
        BOB,
        (await user_data.reader.get_room(room_id)).nid,
        "com.beeper.mute",
        lambda _: {"muted_until": user_data.clock.now_ms() + 1_000},
    )

    await user_data.mutes.follow(BOB, room_id)
    await user_data.mutes.follow(BOB, room_id)
    assert await is_muted(user_data, room_id)
    user_data.clock.advance_ms(1_000)

    assert await user_data.mutes.end_some()
    assert not await is_muted(user_data, room_id)
