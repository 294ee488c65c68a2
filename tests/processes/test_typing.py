"""Typing, told to one process and shown by the other."""

import asyncio

from tests.features.user_data import ALICE, BOB, UserDataServer, build_user_data
from tests.processes.servers import Servers
from tremula.protocol.identifiers import RoomId, UserId


async def put(
    server: UserDataServer, room_id: RoomId, user_id: UserId = ALICE, **body: object
) -> None:
    """A client says whether it types; first the process hears all that was said."""
    await server.journal.settled()
    path = f"/v3/rooms/{room_id}/typing/{user_id}"
    response = await server.client(user_id).put(path, body)
    assert response.status == 200, response.body


async def shown(server: UserDataServer, since: int = 0) -> list[str] | None:
    """Who types, as a sync of Bob in his only room says; None if it says nothing."""
    await server.journal.settled()
    ctx = await server.context(BOB)
    events = await server.room_events("typing", ctx, since)
    for [event] in events.values():
        users: list[str] = event["content"]["user_ids"]
        return users
    return None


async def test_who_types_is_shown_by_both_until_they_end(servers: Servers) -> None:
    one, other = servers.both
    room_id = await one.create_room(ALICE, BOB)
    # Of whoever waits it is known in which rooms they are.
    await other.context(BOB)
    since = other.journal.position
    waiting = asyncio.create_task(other.journal.wait(BOB, since, 10))
    await asyncio.sleep(0)

    await put(one, room_id, typing=True)

    assert await waiting
    assert await shown(other, since) == [ALICE]
    assert await shown(one, since) == [ALICE]
    began = other.journal.position
    await put(other, room_id, typing=False)
    assert await shown(one, began) == await shown(other, began) == []


async def test_who_goes_on_elsewhere_is_not_timed_out(servers: Servers) -> None:
    one, other = servers.both
    room_id = await one.create_room(ALICE, BOB)
    await put(one, room_id, typing=True, timeout=10_000)
    one.clock.advance_ms(9_000)
    await put(other, room_id, typing=True, timeout=10_000)
    await servers.heard()

    one.clock.advance_ms(9_000)
    for each in servers.both:
        each.typing.time_out()
    await servers.heard()

    assert await shown(one) == await shown(other) == [ALICE]
    one.clock.advance_ms(1_001)
    # It is for the other process to say so.
    one.typing.time_out()
    await servers.heard()
    assert await shown(one) == [ALICE]
    other.typing.time_out()
    await servers.heard()
    assert await shown(one) is await shown(other) is None


async def test_who_typed_at_a_process_that_crashed_is_timed_out(
    servers: Servers,
) -> None:
    one, other = servers.both
    room_id = await one.create_room(ALICE, BOB)
    await put(one, room_id, typing=True, timeout=10_000)
    assert await shown(other) == [ALICE]
    began = other.journal.position

    one.clock.advance_ms(16_000)
    other.typing.time_out()
    await servers.heard()

    assert await shown(other, began) == []


async def test_both_are_told_when_two_type_at_once(servers: Servers) -> None:
    one, other = servers.both
    room_id = await one.create_room(ALICE, BOB)
    await servers.heard()

    await asyncio.gather(
        put(one, room_id, ALICE, typing=True), put(other, room_id, BOB, typing=True)
    )

    assert await shown(one) == await shown(other)
    assert set(await shown(one) or ()) == {ALICE, BOB}


async def test_who_leaves_types_no_more(servers: Servers) -> None:
    one, other = servers.both
    room_id = await one.create_room(ALICE, BOB)
    await servers.heard()
    await put(other, room_id, typing=True)

    await one.leave(room_id, ALICE)
    await servers.heard()
    await servers.heard()

    assert not await shown(one)
    assert not await shown(other)


async def test_a_process_that_comes_later_hears_who_still_types(
    servers: Servers,
) -> None:
    one, other = servers.both
    room_id = await one.create_room(ALICE, BOB)
    await put(one, room_id, typing=True)
    newer = build_user_data(other.database, other.journal, other.clock)
    assert await shown(newer) is None

    await put(one, room_id, typing=True)
    await servers.heard()

    assert await shown(newer) == [ALICE]
