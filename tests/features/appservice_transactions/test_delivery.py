"""Transactions over HTTP: in order, one at a time, repeated as they are until taken."""

from pathlib import Path

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.appservice_transactions.bridge import Bridge, running_bridge
from tests.features.appservices.registrations import registration
from tests.features.rooms import create_room, send
from tests.server import Server, config_for, running_server
from tremula.protocol.appservices import Registration

GHOST = "@_irc_ghost:test"


async def quiet_room(server: Server, bridge: Bridge, user_id: str = GHOST) -> str:
    """A room of the ghost's, all of which the bridge has been told."""
    ghost = server.client(user_id)
    room_id = await create_room(ghost)
    last = await send(ghost, room_id, "the last one")
    while (await bridge.take()).event_ids[-1] != last:
        continue
    return room_id


async def try_at_once(server: Server, changed: Registration) -> None:
    """End the pause of an application service, as a change of it does."""
    await server.app.appservices.replace(changed)


async def test_the_token_of_the_server_is_in_the_header_only(
    server: Server, bridged: Bridge
) -> None:
    await create_room(server.client(GHOST))

    await bridged.take()

    [request, *_] = bridged.requests
    assert request.headers["authorization"] == "Bearer hs-token-of-irc"
    assert request.headers["content-type"] == "application/json"
    assert "?" not in request.uri


async def test_what_is_not_taken_is_repeated_as_it_was(
    server: Server, bridged: Bridge
) -> None:
    ghost, room_id = server.client(GHOST), await quiet_room(server, bridged)
    bridged.status = 502
    first = await send(ghost, room_id, "first")
    refused = await bridged.take()
    second = await send(ghost, room_id, "second")

    await try_at_once(server, bridged.registration())
    repeated = await bridged.take()
    bridged.status = 200
    await try_at_once(server, bridged.registration())

    assert refused.event_ids == [first]
    assert repeated == refused
    assert await bridged.take() == refused
    following = await bridged.take()
    assert following.event_ids == [second]
    assert following.txn_id != refused.txn_id


# As several begin, slots move, and whoever takes one repeats what is under way.
@pytest.mark.one_process
async def test_what_waited_comes_in_hundreds_and_in_order(
    server: Server, bridged: Bridge
) -> None:
    ghost, room_id = server.client(GHOST), await quiet_room(server, bridged)
    bridged.status = 503
    await send(ghost, room_id)
    await bridged.take()
    event_ids = [await send(ghost, room_id, str(number)) for number in range(150)]
    bridged.status = 200

    await try_at_once(server, bridged.registration())

    await bridged.take()
    told = [await bridged.take(), await bridged.take()]
    assert [len(each.event_ids) for each in told] == [100, 50]
    assert told[0].event_ids + told[1].event_ids == event_ids
    assert bridged.at_once_max == 1


async def test_large_events_make_smaller_transactions(
    server: Server, bridged: Bridge
) -> None:
    ghost, room_id = server.client(GHOST), await quiet_room(server, bridged)
    bridged.status = 503
    await send(ghost, room_id)
    await bridged.take()
    event_ids = [await send(ghost, room_id, "x" * 60_000) for _ in range(20)]
    bridged.status = 200

    await try_at_once(server, bridged.registration())

    await bridged.take()
    told = [await bridged.take(), await bridged.take()]
    assert max(len(each.body) for each in told) < 1_200_000
    assert told[0].event_ids + told[1].event_ids == event_ids


async def test_one_that_hangs_keeps_nothing_from_others(
    server: Server, bridged: Bridge, tmp_path: Path
) -> None:
    async with running_bridge(tmp_path, "sms") as other:
        await server.add_appservice(other.registration())
        bridged.is_silent = True
        irc_ghost, sms_ghost = server.client(GHOST), server.client("@_sms_1:test")
        await create_room(irc_ghost)
        await bridged.take()

        room_id = await quiet_room(server, other, "@_sms_1:test")
        event_id = await send(sms_ghost, room_id)

        assert (await other.take()).event_ids == [event_id]


@pytest.mark.one_process
async def test_one_that_makes_requests_is_tried_sooner(
    server: Server, bridge: Bridge, clock: FakeClock
) -> None:
    registered = bridge.registration()
    await server.add_appservice(registered)
    bot = server.appservice_client(registered, GHOST)
    ghost, room_id = server.client(GHOST), await quiet_room(server, bridge)
    bridge.status = 502
    await send(ghost, room_id)
    refused = await bridge.take()
    # Its pauses grow to ten minutes; a change of another has the clock looked at.
    for _ in range(200):
        if len(bridge.requests) > 20:
            break
        clock.advance_ms(900_000)
        await server.app.appservices.replace(registration("other"))
    bridge.status = 200

    for _ in range(40):
        if refused.txn_id in bridge.taken:
            break
        clock.advance_ms(5_000)
        await bot.get("/v3/account/whoami")
        # What goes to the disk lets everything else go on meanwhile.
        await send(ghost, room_id)

    assert refused.txn_id in bridge.taken


async def test_a_bridge_that_has_the_old_routes_only(
    server: Server, bridged: Bridge
) -> None:
    bridged.is_modern = False

    room_id = await create_room(server.client(GHOST))

    events = (await bridged.take()).content["events"]
    assert events[0]["room_id"] == room_id
    modern, legacy = bridged.requests[:2]
    txn_id = modern.uri.rpartition("/")[2]
    assert legacy.uri == f"/transactions/{txn_id}?access_token=hs-token-of-irc"
    assert legacy.body == modern.body


async def test_a_redacted_message_is_told_without_what_it_said(
    server: Server, bridged: Bridge
) -> None:
    ghost, room_id = server.client(GHOST), await quiet_room(server, bridged)
    bridged.status = 503
    await send(ghost, room_id)
    await bridged.take()
    event_id = await send(ghost, room_id, "secret")
    path = f"/v3/rooms/{room_id}/redact/{event_id}/txn"
    redaction_id = (await ghost.put(path, {})).json["event_id"]
    bridged.status = 200

    await try_at_once(server, bridged.registration())

    await bridged.take()
    redacted, redaction = (await bridged.take()).content["events"]
    assert redacted["content"] == {}
    assert redacted["unsigned"]["redacted_because"]["event_id"] == redaction_id
    assert redaction["redacts"] == redaction["content"]["redacts"] == event_id


@pytest.mark.one_process
class TestRestarts:
    """What one run of a server leaves to the next one."""

    async def test_what_was_not_taken_is_repeated_and_what_waits_follows(
        self,
        database_source: DatabaseSource,
        tmp_path: Path,
        clock: FakeClock,
        bridge: Bridge,
    ) -> None:
        config = config_for(database_source, tmp_path)
        async with running_server(config, clock) as server:
            await server.add_appservice(bridge.registration())
            ghost, room_id = server.client(GHOST), await quiet_room(server, bridge)
            bridge.status = 502
            await send(ghost, room_id)
            refused = await bridge.take()
            second = await send(ghost, room_id)
        bridge.status = 200

        async with running_server(config, clock):
            assert await bridge.take() == refused
            assert (await bridge.take()).event_ids == [second]

    async def test_what_was_taken_is_not_repeated(
        self,
        database_source: DatabaseSource,
        tmp_path: Path,
        bridge: Bridge,
    ) -> None:
        config = config_for(database_source, tmp_path)
        async with running_server(config) as server:
            await server.add_appservice(bridge.registration())
            ghost, room_id = server.client(GHOST), await quiet_room(server, bridge)
            await send(ghost, room_id, "taken")
            await bridge.take()
            # That it was taken is stored with the next one, at the latest.
            last = await send(ghost, room_id, "under way")
            bridge.status = 502
            while (await bridge.take()).event_ids != [last]:
                continue

        async with running_server(config):
            assert (await bridge.take()).event_ids == [last]
