"""What waits is shown; what was told is told again if an operator wants it."""

import pytest

from tests.fakes.clock import FakeClock
from tests.features.appservice_transactions.bridge import Bridge
from tests.features.rooms import create_room, join, send
from tests.server import Server
from tremula.features.appservice_transactions.storage import Queued
from tremula.protocol.errors import NotFound

ALICE = "@alice:test"
GHOST = "@_irc_ghost:test"

# Where the time jumps, processes lose each other.
pytestmark = pytest.mark.one_process


async def test_what_was_sent_since_a_time_is_told_again(
    server: Server, bridged: Bridge, clock: FakeClock
) -> None:
    alice, ghost = server.client(ALICE), server.client(GHOST)
    room_id = await create_room(alice, preset="public_chat")
    await join(ghost, room_id)
    await send(alice, room_id, "long ago")
    clock.advance_ms(60_000)
    since_ms = clock.now_ms()
    event_ids = [await send(alice, room_id, str(number)) for number in range(3)]
    first = await bridged.take_events(5)

    count = await server.app.backlog.replay("irc", since_ms=since_ms)

    assert count == 3
    assert [event["event_id"] for event in first[2:]] == event_ids
    again = await bridged.take_events(3)
    assert [event["event_id"] for event in again] == event_ids


async def test_what_was_sent_before_a_user_of_theirs_came_is_not_told(
    server: Server, bridged: Bridge
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    await send(alice, room_id, "before")
    await join(server.client(GHOST), room_id)
    [joined] = await bridged.take_events(1)

    assert await server.app.backlog.replay("irc", since_ms=0) == 1

    [again] = await bridged.take_events(1)
    assert again["event_id"] == joined["event_id"]


async def test_how_much_waits_and_since_when(
    server: Server, bridged: Bridge, clock: FakeClock
) -> None:
    ghost = server.client(GHOST)
    bridged.status = 503
    room_id = await create_room(ghost)
    await bridged.take()
    oldest_ms = clock.now_ms()
    await send(ghost, room_id)
    clock.advance_ms(1_000)
    await send(ghost, room_id)

    queued = await server.app.backlog.queued("irc")

    assert queued == Queued(events=2, oldest_ts_ms=oldest_ms, is_begun=True)


async def test_one_that_is_not_there_can_t_be_told_again(server: Server) -> None:
    with pytest.raises(NotFound):
        await server.app.backlog.replay("nobody", since_ms=0)
