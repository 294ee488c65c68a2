"""Push gateways that fail, servers that stop: nothing is lost, little is repeated."""

from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.features.pushers.conversations import (
    ALICE,
    BOB,
    push_to,
    read,
    two_in_a_room,
    wake,
)
from tests.features.pushers.push_gateway import PushGateway
from tests.features.rooms import send
from tests.http_client import Client
from tests.server import Server, running_server
from tremula.features.pushers.pushed_users import PushedRoom, PushedUsers
from tremula.infra.config import Config
from tremula.infra.db import DatabaseUnavailable

HOUR_MS = 3_600_000

# Of several that start, slots move, and what is under way is repeated by the other one:
# test_deliveries.py has that.
pytestmark = pytest.mark.one_process


async def told_later(
    gateway: PushGateway, client: Client, clock: FakeClock
) -> dict[str, Any]:
    """What is told when pauses are over, however long it takes until they begin."""
    for _ in range(100):
        clock.advance_ms(HOUR_MS)
        await wake(client)
        if not gateway.notified.empty():
            break
    return await gateway.take()


async def test_what_was_not_taken_is_told_again(
    server: Server, gateway: PushGateway, clock: FakeClock
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await push_to(alice, gateway)
    gateway.status = 502
    event_id = await send(bob, room_id)
    assert (await gateway.take())["event_id"] == event_id

    assert (await told_later(gateway, alice, clock))["event_id"] == event_id
    gateway.status = 200

    assert (await told_later(gateway, alice, clock))["event_id"] == event_id
    newer = await send(bob, room_id)
    assert (await gateway.take())["event_id"] == newer


async def test_what_the_database_was_away_for_is_told_when_it_is_back(
    server: Server, gateway: PushGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await push_to(alice, gateway)
    asked: list[int] = []
    in_room = PushedUsers.in_room

    async def is_away_once(users: PushedUsers, room_nid: int) -> PushedRoom:
        asked.append(room_nid)
        if len(asked) == 1:
            raise DatabaseUnavailable("it is being restarted")
        return await in_room(users, room_nid)

    monkeypatch.setattr(PushedUsers, "in_room", is_away_once)
    event_id = await send(bob, room_id)

    assert (await gateway.take())["event_id"] == event_id


async def test_pushers_of_others_go_on_during_an_outage(
    server: Server, gateway: PushGateway, clock: FakeClock
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await push_to(alice, gateway, format="event_id_only")
    gateway.status = 502
    await send(bob, room_id)
    await gateway.take()
    gateway.status = 200
    await push_to(bob, gateway, "bob")

    event_id = await send(alice, room_id)

    told = await gateway.take()
    assert told["event_id"] == event_id
    assert [each["pushkey"] for each in told["devices"]] == ["bob"]


async def test_what_was_read_during_an_outage_is_not_told(
    server: Server, gateway: PushGateway, clock: FakeClock
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await push_to(alice, gateway)
    gateway.status = 502
    read_one = await send(bob, room_id)
    await gateway.take()
    await read(alice, room_id, read_one)
    newer = await send(bob, room_id)
    gateway.status = 200

    assert (await told_later(gateway, alice, clock))["event_id"] == newer


async def test_what_could_not_be_told_for_a_day_is_given_up(
    server: Server, gateway: PushGateway, clock: FakeClock
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await push_to(alice, gateway)
    gateway.status = 502
    await send(bob, room_id, "old")
    await gateway.take()
    await told_later(gateway, alice, clock)
    gateway.status = 200
    clock.advance_ms(24 * HOUR_MS)

    newer = await send(bob, room_id, "new")

    assert (await told_later(gateway, alice, clock))["event_id"] == newer


async def test_after_an_outage_the_newest_fifty_are_told(
    server: Server, gateway: PushGateway, clock: FakeClock
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await push_to(alice, gateway)
    gateway.status = 502
    await send(bob, room_id)
    await gateway.take()
    event_ids = [await send(bob, room_id) for _ in range(60)]
    gateway.status = 200

    told = [await told_later(gateway, alice, clock)]
    told += [await gateway.take() for _ in range(49)]

    assert [each["event_id"] for each in told] == event_ids[-50:]


async def test_a_server_that_stops_goes_on_where_it_was(
    config: Config, gateway: PushGateway, clock: FakeClock
) -> None:
    """What it was just telling is told again, and nothing else."""
    async with running_server(config, clock) as server:
        alice, bob, room_id = await two_in_a_room(server)
        await push_to(alice, gateway)
        first = await send(bob, room_id)
        assert (await gateway.take())["event_id"] == first
        gateway.is_silent = True
        underway = await send(bob, room_id)
        assert (await gateway.take())["event_id"] == underway
        waiting = await send(bob, room_id)
    gateway.is_silent = False

    async with running_server(config, clock) as server:
        told = [(await gateway.take())["event_id"] for _ in range(2)]
        assert told == [underway, waiting]
        bob = server.client(BOB)
        server.users.add(BOB)
        newest = await send(bob, room_id)
        assert (await gateway.take())["event_id"] == newest


async def test_a_pause_outlasts_a_restart(
    config: Config, gateway: PushGateway, clock: FakeClock
) -> None:
    async with running_server(config, clock) as server:
        alice, bob, room_id = await two_in_a_room(server)
        await push_to(alice, gateway, "alice")
        await push_to(bob, gateway, "bob", format="event_id_only")
        gateway.status = 502
        event_id = await send(bob, room_id)
        await gateway.take()
        for _ in range(100):
            if await server.db.all("SELECT 1 FROM pushers WHERE failures > 0"):
                break
            await wake(alice)
    gateway.status = 200

    async with running_server(config, clock) as server:
        server.users |= {ALICE, BOB}
        alice = server.client(ALICE)
        answer = await send(alice, room_id)
        told = await gateway.take()
        assert (told["event_id"], told["devices"][0]["pushkey"]) == (answer, "bob")

        assert (await told_later(gateway, alice, clock))["event_id"] == event_id
