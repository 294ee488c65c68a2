"""CS setTyping, over HTTP, and what `/sync` shows of it."""

import asyncio

import pytest

from tests.fakes.clock import FakeClock
from tests.features.user_data import (
    ALICE,
    BOB,
    MALLORY,
    UserDataServer,
    start_user_data,
)
from tests.query_counter import counted
from tremula.features.typing.service import LATELY_MS, TIMEOUT_MAX_MS, USERS_MAX
from tremula.infra.db import Database
from tremula.protocol.identifiers import RoomId, UserId


async def put(
    server: UserDataServer,
    user_id: UserId,
    room_id: RoomId,
    body: object,
    *,
    of: UserId | None = None,
) -> tuple[int, str | None]:
    """The status and error code of a typing notification."""
    response = await server.client(user_id).put(
        f"/v3/rooms/{room_id}/typing/{of or user_id}", body
    )
    return response.status, response.json.get("errcode")


async def typing_users(
    server: UserDataServer, user_id: UserId, room_id: RoomId, since: int = 0
) -> list[str] | None:
    """Who types, as a sync of *user_id* says; ``None`` if it says nothing."""
    ctx = await server.context(user_id)
    events = await server.room_events("typing", ctx, since)
    if room_id not in events:
        return None
    [event] = events[room_id]
    users: list[str] = event["content"]["user_ids"]
    return users


async def test_typing_is_shown_until_it_stops(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    since = user_data.journal.position

    sent = await put(user_data, ALICE, room_id, {"typing": True, "timeout": 1_000})
    started = user_data.journal.position
    assert sent == (200, None)
    assert await typing_users(user_data, BOB, room_id) == [ALICE]
    assert await typing_users(user_data, BOB, room_id, since) == [ALICE]
    assert await typing_users(user_data, BOB, room_id, started) is None

    assert await put(user_data, ALICE, room_id, {"typing": False}) == (200, None)
    assert await typing_users(user_data, BOB, room_id, started) == []


async def test_who_typed_before_a_restart_types_no_more(
    user_data: UserDataServer, database: Database, clock: FakeClock
) -> None:
    """A client that comes back with an old token must not show them for ever."""
    room_id = await user_data.create_room(ALICE, BOB)
    quiet_id = await user_data.create_room(ALICE, BOB)
    await put(user_data, ALICE, room_id, {"typing": True})
    since = user_data.journal.position

    restarted = await start_user_data(database, clock)

    assert await typing_users(restarted, BOB, room_id, since) == []
    assert await typing_users(restarted, BOB, quiet_id, since) is None
    assert await typing_users(restarted, BOB, room_id) is None
    await put(restarted, ALICE, room_id, {"typing": True})
    assert await typing_users(restarted, BOB, room_id, since) == [ALICE]
    clock.advance_ms(LATELY_MS + 1)
    assert await typing_users(restarted, BOB, room_id, since) == [ALICE]


async def test_typing_in_a_room_writes_once_an_hour(
    user_data: UserDataServer, clock: FakeClock
) -> None:
    room_id = await user_data.create_room(ALICE, BOB)

    with counted(user_data.database) as queries:
        for user_id in (ALICE, BOB, ALICE):
            await put(user_data, user_id, room_id, {"typing": True})
        written = len(queries.units)
        clock.advance_ms(3_600_000)
        await put(user_data, ALICE, room_id, {"typing": True})

    assert (written, len(queries.units)) == (1, 2)


async def test_typing_times_out(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    for user_id, timeout_ms in ((ALICE, 1_000), (BOB, 3_000)):
        body = {"typing": True, "timeout": timeout_ms}
        await put(user_data, user_id, room_id, body)

    user_data.clock.advance_ms(2_000)
    user_data.typing.time_out()

    assert await typing_users(user_data, BOB, room_id) == [BOB]


@pytest.mark.parametrize(("second_ms", "left"), [(5_000, [ALICE]), (1_000, None)])
async def test_a_repeated_request_replaces_the_timeout(
    user_data: UserDataServer, second_ms: int, left: list[str] | None
) -> None:
    room_id = await user_data.create_room(ALICE)
    since = user_data.journal.position
    for timeout_ms in (2_000, second_ms):
        body = {"typing": True, "timeout": timeout_ms}
        await put(user_data, ALICE, room_id, body)
    position = user_data.journal.position

    user_data.clock.advance_ms(1_999 if second_ms < 2_000 else 2_001)
    user_data.typing.time_out()

    assert position == since + 1
    assert (await typing_users(user_data, ALICE, room_id) or None) == left
    user_data.clock.advance_ms(TIMEOUT_MAX_MS)
    user_data.typing.time_out()
    assert not list(user_data.typing.rooms)


async def test_no_timeout_is_longer_than_the_bound(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    await put(user_data, ALICE, room_id, {"typing": True, "timeout": 2**53 - 1})

    user_data.clock.advance_ms(TIMEOUT_MAX_MS)
    user_data.typing.time_out()

    assert not list(user_data.typing.rooms)


async def test_who_leaves_does_not_type_any_more(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    await put(user_data, BOB, room_id, {"typing": True})

    await user_data.leave(room_id, BOB)

    assert not await typing_users(user_data, ALICE, room_id)


async def test_the_number_of_typing_users_is_bounded(
    user_data: UserDataServer,
) -> None:
    crowd = [UserId(f"@user{number}:test") for number in range(USERS_MAX + 1)]
    room_id = await user_data.create_room(*crowd)

    for user_id in crowd:
        assert await put(user_data, user_id, room_id, {"typing": True}) == (200, None)

    assert await typing_users(user_data, crowd[0], room_id) == crowd[:-1]


async def test_ignored_users_do_not_seem_to_type(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    await user_data.account_data.put(
        BOB, "m.ignored_user_list", {"ignored_users": {ALICE: {}}}
    )

    await put(user_data, ALICE, room_id, {"typing": True})

    assert await typing_users(user_data, BOB, room_id) == []


async def test_typing_wakes_the_room(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    waiting = asyncio.create_task(
        user_data.journal.wait(BOB, user_data.journal.position, 5)
    )
    await asyncio.sleep(0)

    await put(user_data, ALICE, room_id, {"typing": True})

    assert await waiting


async def test_only_members_type_and_only_for_themselves(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE)
    typing = {"typing": True}
    refused = (403, "M_FORBIDDEN")

    assert await put(user_data, MALLORY, room_id, typing) == refused
    assert await put(user_data, MALLORY, room_id, {"typing": False}) == refused
    assert await put(user_data, MALLORY, room_id, typing, of=ALICE) == refused
    assert await typing_users(user_data, ALICE, room_id) is None


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"typing": 1}, "M_BAD_JSON"),
        ({"typing": True, "timeout": "1"}, "M_BAD_JSON"),
        ({"typing": True, "timeout": 1.5}, "M_BAD_JSON"),
        ({"typing": True, "timeout": -1}, "M_INVALID_PARAM"),
    ],
)
async def test_a_malformed_request_is_refused(
    user_data: UserDataServer, body: object, errcode: str
) -> None:
    room_id = await user_data.create_room(ALICE)

    assert await put(user_data, ALICE, room_id, body) == (400, errcode)


async def test_a_filter_can_leave_typing_out(user_data: UserDataServer) -> None:
    room_id = await user_data.create_room(ALICE)
    await put(user_data, ALICE, room_id, {"typing": True})

    for ephemeral in ({"not_types": ["m.*"]}, {"not_rooms": [room_id]}):
        ctx = await user_data.context(ALICE, {"room": {"ephemeral": ephemeral}})
        assert not await user_data.room_events("typing", ctx)
