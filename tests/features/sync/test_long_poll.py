"""`/sync` waits for news, whatever kind they are of, and no longer than asked."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final
from unittest.mock import patch

import pytest

from tests.features.rooms import create_room, error_of, join, member, send
from tests.features.sync.syncing import bodies, room_of, sync, token
from tests.query_counter import counted
from tests.server import Server, UserClient
from tremula.features.sync.room_entries import RoomEntries

ALICE = "@alice:test"
BOB = "@bob:test"
LONG_MS = 30_000
PATIENCE_S = 10

_BUILD: Final = RoomEntries.joined

Deed = Callable[[UserClient, UserClient, str], Awaitable[object]]


async def _room_of(alice: UserClient, bob: UserClient) -> str:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    return room_id


async def _waiting(
    server: Server, client: UserClient, since: str
) -> asyncio.Task[dict[str, Any]]:
    """A sync that has begun to wait, and is to end before its time is up."""

    async def answered() -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            return await sync(client, since, timeout=LONG_MS)

    task = asyncio.create_task(answered())
    async with asyncio.timeout(PATIENCE_S):
        while not server.waiting_users:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
    return task


async def _message(alice: UserClient, _: UserClient, room_id: str) -> None:
    await send(alice, room_id)


async def _receipt(alice: UserClient, _: UserClient, room_id: str) -> None:
    page = await alice.get(f"/v3/rooms/{room_id}/messages?dir=b&limit=1")
    [event] = page.json["chunk"]
    await alice.post(f"/v3/rooms/{room_id}/receipt/m.read/{event['event_id']}", {})


async def _typing(alice: UserClient, _: UserClient, room_id: str) -> None:
    await alice.put(f"/v3/rooms/{room_id}/typing/{ALICE}", {"typing": True})


async def _presence(alice: UserClient, _: UserClient, room_id: str) -> None:
    await alice.put(f"/v3/presence/{ALICE}/status", {"presence": "unavailable"})


async def _account_data(_: UserClient, bob: UserClient, room_id: str) -> None:
    await bob.put(f"/v3/user/{BOB}/account_data/org.test", {})


async def _tag(_: UserClient, bob: UserClient, room_id: str) -> None:
    await bob.put(f"/v3/user/{BOB}/rooms/{room_id}/tags/u.work", {})


async def _kick(alice: UserClient, _: UserClient, room_id: str) -> None:
    await member(alice, room_id, "kick", BOB)


async def _invite(alice: UserClient, _: UserClient, room_id: str) -> None:
    await create_room(alice, invite=[BOB])


async def _join(_: UserClient, bob: UserClient, room_id: str) -> None:
    await create_room(bob)


@pytest.mark.parametrize(
    ("deed", "section"),
    [
        (_message, "rooms.join"),
        (_receipt, "rooms.join"),
        (_typing, "rooms.join"),
        (_presence, "presence.events"),
        (_account_data, "account_data.events"),
        (_tag, "rooms.join"),
        (_kick, "rooms.leave"),
        (_invite, "rooms.invite"),
        (_join, "rooms.join"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_news_of_every_kind_end_the_wait(
    server: Server, deed: Deed, section: str
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)

    waiting = await _waiting(server, bob, since)
    await deed(alice, bob, room_id)
    async with asyncio.timeout(PATIENCE_S):
        answer = await waiting

    outer, inner = section.split(".")
    assert answer[outer][inner]
    assert answer["next_batch"] != since


async def test_a_message_comes_alone_and_unlimited(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)

    waiting = await _waiting(server, bob, since)
    await send(alice, room_id, "hello")

    entry = room_of(await waiting, room_id)
    assert bodies(entry) == ["hello"]
    assert entry["timeline"]["limited"] is False
    assert entry["state"]["events"] == []


async def test_a_wait_without_news_ends_empty_in_time(server: Server) -> None:
    alice = server.client(ALICE)
    await create_room(alice)
    since = await token(alice)

    answer = await sync(alice, since, timeout=5)

    assert answer == {
        "next_batch": since,
        "rooms": {},
        "device_one_time_keys_count": {"signed_curve25519": 0},
        "device_unused_fallback_key_types": [],
    }


async def test_news_that_the_filter_leaves_out_do_not_end_the_wait(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    await send(alice, room_id)

    nothing: dict[str, Any] = {"room": {"timeline": {"types": []}}}
    answer = await sync(bob, since, timeout=5, filter=nothing)

    assert answer["rooms"] == {}
    assert answer["next_batch"] != since


@pytest.mark.one_process("counts what one process does")
async def test_a_message_is_looked_up_and_encoded_once_for_all_who_wait(
    server: Server,
) -> None:
    """Whoever was in the room all the time; who sent it is shown it in their way."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    others = [server.client(f"@user{number}:test") for number in range(4)]
    for other in others:
        await join(other, room_id)
    everyone = [alice, bob, *others]
    # Each is known by then.
    for each in everyone:
        await sync(each, await token(each))
    since = await token(bob)
    await send(alice, room_id, "hello")

    with (
        patch.object(RoomEntries, "joined", autospec=True) as built,
        counted(server.db) as queries,
    ):
        built.side_effect = _BUILD
        answers = [await sync(each, since) for each in everyone]

    shown = [bodies(room_of(each, room_id)) for each in answers]
    assert shown == [["hello"]] * len(everyone)
    built_for = [call.args[1].user_id for call in built.call_args_list]
    assert built_for == [ALICE, BOB]
    assert queries.reads == []


async def test_two_devices_wait_for_the_same_news(server: Server) -> None:
    alice = server.client(ALICE)
    phone = server.client(BOB, device_id="PHONE")
    room_id = await _room_of(alice, phone)
    laptop = server.client(BOB, device_id="LAPTOP")
    since = await token(laptop)

    both = [await _waiting(server, each, since) for each in (phone, laptop)]
    await send(alice, room_id, "hello")

    for answer in await asyncio.gather(*both):
        assert bodies(room_of(answer, room_id)) == ["hello"]


@pytest.mark.parametrize(
    "query",
    [
        {"timeout": "-1"},
        {"timeout": "soon"},
        {"timeout": "1" * 400},
        {"full_state": "maybe"},
        {"use_state_after": "1.5"},
        {"set_presence": "away"},
    ],
)
async def test_a_malformed_parameter_is_refused(
    server: Server, query: dict[str, str]
) -> None:
    response = await server.client(ALICE).get("/v3/sync", query=query)

    assert error_of(response) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize(
    ("query", "presence"),
    [
        ({}, "online"),
        ({"set_presence": "online"}, "online"),
        ({"set_presence": "unavailable"}, "unavailable"),
        ({"set_presence": "offline"}, "offline"),
    ],
)
@pytest.mark.one_process(
    reason="others learn of it a moment later: tests/processes/test_presence.py"
)
async def test_who_syncs_is_present_as_they_wish(
    server: Server, query: dict[str, str], presence: str
) -> None:
    alice = server.client(ALICE)

    await alice.get("/v3/sync", query=query)

    status = await alice.get(f"/v3/presence/{ALICE}/status")
    assert status.json["presence"] == presence
