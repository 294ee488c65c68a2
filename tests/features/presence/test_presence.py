"""Presence, over HTTP and through time, and what `/sync` shows of it."""

import asyncio
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.features.user_data import (
    ALICE,
    BOB,
    MALLORY,
    UserDataServer,
    create_users,
    start_user_data,
)
from tremula.features.presence.audience import WOKEN_MEMBERS_MAX
from tremula.infra.db import Database
from tremula.protocol.identifiers import UserId
from tremula.protocol.presence import IDLE_AFTER_S, PresenceState


async def status(
    server: UserDataServer, viewer: UserId, user_id: UserId
) -> dict[str, Any]:
    """The presence of a user as another one sees it, or the error."""
    response = await server.client(viewer).get(f"/v3/presence/{user_id}/status")
    answer: dict[str, Any] = response.json
    return answer


async def put(server: UserDataServer, user_id: UserId, **body: object) -> int:
    """The status of setting one's presence."""
    response = await server.client(user_id).put(f"/v3/presence/{user_id}/status", body)
    return response.status


async def synced(
    server: UserDataServer, viewer: UserId, since: int = 0
) -> dict[str, dict[str, Any]]:
    """The presence that a sync of *viewer* shows, by user."""
    ctx = await server.context(viewer)
    events = await server.user_events("presence", ctx, since)
    return {event["sender"]: event["content"] for event in events}


async def test_presence_is_set_and_seen(user_data: UserDataServer) -> None:
    await user_data.create_room(ALICE, BOB)
    since = user_data.journal.position

    assert await put(user_data, ALICE, presence="online", status_msg="here") == 200
    user_data.clock.advance_ms(1_000)

    expected = {
        "presence": "online",
        "currently_active": True,
        "last_active_ago": 1_000,
        "status_msg": "here",
    }
    assert await status(user_data, BOB, ALICE) == expected
    assert await status(user_data, ALICE, ALICE) == expected
    for start in (0, since):
        assert await synced(user_data, BOB, start) == {ALICE: expected}
    assert not await synced(user_data, BOB, user_data.journal.position)


async def test_a_status_message_belongs_to_the_state_it_was_set_with(
    user_data: UserDataServer,
) -> None:
    await put(user_data, ALICE, presence="online", status_msg="here")
    await put(user_data, ALICE, presence="unavailable")

    assert await status(user_data, ALICE, ALICE) == {
        "presence": "unavailable",
        "last_active_ago": 0,
    }


async def test_only_people_who_share_a_room_see_presence(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    await put(user_data, ALICE, presence="online")

    assert (await status(user_data, MALLORY, ALICE))["errcode"] == "M_FORBIDDEN"
    assert not await synced(user_data, MALLORY)

    await user_data.leave(room_id, BOB)
    assert (await status(user_data, BOB, ALICE))["errcode"] == "M_FORBIDDEN"
    assert not await synced(user_data, BOB)


async def test_presence_is_set_for_oneself_only(user_data: UserDataServer) -> None:
    response = await user_data.client(MALLORY).put(
        f"/v3/presence/{ALICE}/status", {"presence": "online"}
    )

    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"presence": "busy"}, "M_BAD_JSON"),
        ({"presence": 1}, "M_BAD_JSON"),
        ({"presence": "online", "status_msg": 1}, "M_BAD_JSON"),
        ({"presence": "online", "status_msg": "x" * 2_000}, "M_INVALID_PARAM"),
    ],
)
async def test_a_malformed_presence_is_refused(
    user_data: UserDataServer, body: object, errcode: str
) -> None:
    response = await user_data.client(ALICE).put(f"/v3/presence/{ALICE}/status", body)

    assert (response.status, response.json["errcode"]) == (400, errcode)
    assert not await synced(user_data, ALICE)


async def test_who_syncs_is_online_until_they_are_gone(
    user_data: UserDataServer,
) -> None:
    await user_data.create_room(ALICE, BOB)
    since = user_data.journal.position

    user_data.presence.touch(ALICE, PresenceState.ONLINE, hold_s=30)
    await user_data.presence.announce_changes()
    assert (await synced(user_data, BOB, since))[ALICE]["presence"] == "online"

    online = user_data.journal.position
    user_data.clock.advance_ms(120_000)
    for _ in range(2):
        await user_data.presence.sweep()
        await user_data.presence.announce_changes()
    assert not user_data.presence.live_users
    user_data.clock.advance_ms(1_000)
    assert (await synced(user_data, BOB, online))[ALICE] == {
        "presence": "offline",
        "last_active_ago": 121_000,
    }
    assert await synced(user_data, BOB) == {}


async def test_a_repeated_sync_changes_nothing(user_data: UserDataServer) -> None:
    user_data.presence.touch(ALICE, PresenceState.ONLINE)
    await user_data.presence.announce_changes()
    before = user_data.journal.position

    user_data.presence.touch(ALICE, PresenceState.ONLINE)
    await user_data.presence.announce_changes()

    assert user_data.journal.position == before


async def test_who_syncs_unnoticed_stays_offline(user_data: UserDataServer) -> None:
    user_data.presence.touch(ALICE, PresenceState.OFFLINE)

    assert not user_data.presence.live_users


async def test_who_does_nothing_becomes_unavailable_until_they_send(
    user_data: UserDataServer,
) -> None:
    room_id = await user_data.create_room(ALICE, BOB)
    hold_s = 2 * IDLE_AFTER_S
    user_data.presence.touch(ALICE, PresenceState.ONLINE, hold_s=hold_s)
    await user_data.presence.announce_changes()
    since = user_data.journal.position

    user_data.clock.advance_ms(int(IDLE_AFTER_S * 1000))
    await user_data.presence.sweep()
    await user_data.presence.announce_changes()
    assert (await synced(user_data, BOB, since))[ALICE]["presence"] == "unavailable"

    await user_data.send(room_id, ALICE)
    await user_data.presence.announce_changes()
    content = (await synced(user_data, BOB, since))[ALICE]
    assert (content["presence"], content["currently_active"]) == ("online", True)


async def test_a_change_wakes_those_who_may_see_it(user_data: UserDataServer) -> None:
    await user_data.create_room(ALICE, BOB)
    position = user_data.journal.position
    waiting = asyncio.create_task(user_data.journal.wait(BOB, position, 5))
    running = asyncio.create_task(user_data.presence.run())
    await asyncio.sleep(0)

    user_data.presence.touch(ALICE, PresenceState.ONLINE)

    assert await waiting
    running.cancel()


async def test_a_large_room_is_not_woken(user_data: UserDataServer) -> None:
    crowd = [UserId(f"@user{number}:test") for number in range(WOKEN_MEMBERS_MAX)]
    await user_data.create_room(ALICE, *crowd)
    position = user_data.journal.position

    await put(user_data, ALICE, presence="online")

    assert not await user_data.journal.wait(crowd[0], position, 0.01)
    assert ALICE in await synced(user_data, crowd[0], position)


async def test_newcomers_see_and_are_seen(user_data: UserDataServer) -> None:
    for user_id in (ALICE, BOB):
        await put(user_data, user_id, presence="online")
    since = user_data.journal.position

    await user_data.create_room(ALICE, BOB)
    await user_data.presence.announce_changes()

    assert set(await synced(user_data, ALICE, since)) >= {BOB}
    assert set(await synced(user_data, BOB, since)) >= {ALICE}


async def test_presence_tells_of_a_new_profile(user_data: UserDataServer) -> None:
    """CS "Events on Change of Profile Information"."""
    await create_users(user_data, [ALICE])
    await user_data.create_room(ALICE, BOB)
    await put(user_data, ALICE, presence="online")
    since = user_data.journal.position

    await user_data.profiles.set_field(ALICE, "displayname", "Alice L.")
    await user_data.presence.announce_changes()

    assert (await synced(user_data, BOB, since))[ALICE]["displayname"] == "Alice L."


async def test_a_new_name_leaves_who_is_away_away(user_data: UserDataServer) -> None:
    """The server tells it to each of the user's rooms: they do nothing there."""
    await create_users(user_data, [ALICE])
    await user_data.create_room(ALICE, BOB)
    await put(user_data, ALICE, presence="unavailable", status_msg="at lunch")

    await user_data.profiles.set_field(ALICE, "displayname", "Alice L.")
    while await user_data.propagation.propagate_some():
        pass
    await user_data.presence.announce_changes()

    content = (await synced(user_data, BOB))[ALICE]
    assert (content["presence"], content["status_msg"]) == ("unavailable", "at lunch")
    assert content["displayname"] == "Alice L."


async def test_filters_and_ignored_users_leave_presence_out(
    user_data: UserDataServer,
) -> None:
    await user_data.create_room(ALICE, BOB)
    await put(user_data, ALICE, presence="online")

    for presence in ({"not_types": ["*"]}, {"not_senders": [ALICE]}):
        ctx = await user_data.context(BOB, {"presence": presence})
        assert not await user_data.user_events("presence", ctx)
    await user_data.account_data.put(
        BOB, "m.ignored_user_list", {"ignored_users": {ALICE: {}}}
    )
    assert not await synced(user_data, BOB)


async def test_a_status_message_outlives_a_restart(
    user_data: UserDataServer, clock: FakeClock
) -> None:
    await put(user_data, ALICE, presence="online", status_msg="here")

    restarted = await start_user_data(user_data.database, clock)

    assert await status(restarted, ALICE, ALICE) == {
        "presence": "offline",
        "last_active_ago": 0,
        "status_msg": "here",
    }


async def test_presence_can_be_switched_off(
    database: Database, clock: FakeClock
) -> None:
    server = await start_user_data(database, clock, has_presence=False)
    await server.create_room(ALICE, BOB)
    before = server.journal.position

    assert await put(server, ALICE, presence="online", status_msg="here") == 200
    server.presence.touch(ALICE, PresenceState.ONLINE)

    assert await status(server, BOB, ALICE) == {"presence": "offline"}
    assert (await status(server, MALLORY, ALICE))["errcode"] == "M_FORBIDDEN"
    assert not await synced(server, BOB)
    assert server.journal.position == before
