"""Presence, told to one process and shown by the other."""

from tests.features.user_data import ALICE, BOB, UserDataServer
from tests.processes.servers import Servers
from tremula.protocol.identifiers import UserId
from tremula.protocol.presence import PresenceState


async def told(servers: Servers) -> None:
    """Everybody tells what is to be told, and hears it."""
    for each in servers.both:
        await each.presence.announce_changes()
    await servers.heard()


async def sweep(servers: Servers, *swept: UserDataServer) -> None:
    """As it happens each ten seconds."""
    for each in swept:
        await each.presence.sweep()
        await each.presence.announce_changes()
    await servers.heard()


async def state(server: UserDataServer, user_id: UserId = ALICE) -> object:
    """What *server* says of a user."""
    await server.journal.settled()
    return (await server.presence.contents([user_id]))[user_id]["presence"]


async def news(server: UserDataServer, since: int) -> list[tuple[str, str]]:
    """What a sync of Bob says."""
    ctx = await server.context(BOB)
    events = await server.user_events("presence", ctx, since)
    return [(event["sender"], event["content"]["presence"]) for event in events]


async def test_who_syncs_at_one_process_is_online_at_both(servers: Servers) -> None:
    one, other = servers.both
    await one.create_room(ALICE, BOB)
    await servers.heard()
    since = other.journal.position

    one.presence.touch(ALICE, PresenceState.ONLINE, hold_s=30)
    await told(servers)

    assert await state(one) == await state(other) == "online"
    assert await news(other, since) == [(ALICE, "online")]


async def test_a_client_that_hops_stays_online(servers: Servers) -> None:
    one, other = servers.both
    await one.create_room(ALICE, BOB)
    await servers.heard()
    since = other.journal.position

    for number in range(20):
        servers.both[number % 2].presence.touch(ALICE, PresenceState.ONLINE, hold_s=0)
        await told(servers)
        one.clock.advance_ms(14_000)
        await sweep(servers, one, other)
        assert await state(one) == await state(other) == "online"

    # Once that they came.
    assert len(other.journal.tail("presence", ALICE, since) or ()) <= 2


async def test_who_sets_their_presence_is_shown_so_by_both(servers: Servers) -> None:
    one, other = servers.both
    await one.create_room(ALICE, BOB)
    await servers.heard()
    one.presence.touch(ALICE, PresenceState.ONLINE, hold_s=30)
    await told(servers)

    await other.presence.set(ALICE, PresenceState.UNAVAILABLE, "busy")

    for each in servers.both:
        await each.journal.settled()
        content = (await each.presence.contents([ALICE]))[ALICE]
        assert (content["presence"], content["status_msg"]) == ("unavailable", "busy")


async def test_who_goes_is_told_of_once(servers: Servers) -> None:
    one, other = servers.both
    await one.create_room(ALICE, BOB)
    await servers.heard()
    one.presence.touch(ALICE, PresenceState.ONLINE, hold_s=0)
    await told(servers)
    since = other.journal.position

    one.clock.advance_ms(61_000)
    await sweep(servers, other, one)
    one.clock.advance_ms(30_000)
    await sweep(servers, other, one)

    assert await state(one) == await state(other) == "offline"
    assert len(other.journal.tail("presence", ALICE, since) or ()) == 1
    assert not one.presence.live_users
    assert not other.presence.live_users


async def test_who_was_at_a_process_that_crashed_goes_offline(servers: Servers) -> None:
    one, other = servers.both
    await one.create_room(ALICE, BOB)
    await servers.heard()
    one.presence.touch(ALICE, PresenceState.ONLINE, hold_s=0)
    await told(servers)
    since = other.journal.position

    one.clock.advance_ms(80_000)
    await sweep(servers, other)

    assert await news(other, since) == [(ALICE, "offline")]
