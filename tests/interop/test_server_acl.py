"""Servers that a room does not want."""

import pytest

from tests.interop.user import Json, User, share_room

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="session"),
    # The Tremulas have one host name, and with it the room would deny itself.
    pytest.mark.parametrize(
        "pair", ["tremula-synapse", "synapse-tremula"], indirect=True
    ),
]


async def test_a_server_that_is_denied_is_not_heard_until_it_is_allowed(
    alice: User, bob: User, version: str
) -> None:
    room_id = await share_room(alice, bob, version)
    elsewhere = await share_room(alice, bob, version)
    host, _, _ = bob.peer.server_name.partition(":")
    everybody = {"allow": ["*"], "allow_ip_literals": True}
    await _set_acl(alice, bob, room_id, {**everybody, "deny": [host]})

    unheard = await bob.say(room_id, "can you hear me?")
    await alice.until_event(elsewhere, await bob.say(elsewhere, "and here?"))
    timeline = await alice.get(
        *("rooms", room_id, "messages"), query={"dir": "b", "limit": "10"}
    )
    await _set_acl(alice, bob, room_id, everybody)
    heard = await bob.say(room_id, "and now?")

    assert unheard not in {event["event_id"] for event in timeline["chunk"]}
    await alice.until_event(room_id, heard)


async def _set_acl(alice: User, bob: User, room_id: str, content: Json) -> None:
    event_id = await alice.set_state(room_id, "m.room.server_acl", content)
    await bob.until_event(room_id, event_id)
