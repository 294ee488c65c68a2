"""Rooms that the user is invited to or knocks at, in `/sync`."""

from typing import Any

from tests.features.rooms import create_room, join, member, send, set_state
from tests.features.sync.syncing import room_of, sync, token
from tests.server import Server

ALICE = "@alice:test"
BOB = "@bob:test"
STRIPPED_KEYS = {"type", "state_key", "sender", "content"}


def _state(entry: dict[str, Any], section: str) -> dict[tuple[str, str], Any]:
    events = entry[f"{section}_state"]["events"]
    assert all(event.keys() == STRIPPED_KEYS for event in events)
    return {(e["type"], e["state_key"]): e["content"] for e in events}


async def test_an_invite_shows_the_stripped_state_and_nothing_else(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    since = await token(bob)
    secret = {"type": "org.secret", "content": {"a": 1}}
    room_id = await create_room(
        alice, name="Trees", topic="Aspens", invite=[BOB], initial_state=[secret]
    )

    for answer in (await sync(bob, since), await sync(bob)):
        assert answer["rooms"].keys() == {"invite"}
        state = _state(room_of(answer, room_id, "invite"), "invite")
        assert state["m.room.name", ""] == {"name": "Trees"}
        assert state["m.room.topic", ""]["topic"] == "Aspens"
        assert state["m.room.member", BOB]["membership"] == "invite"
        assert state["m.room.member", ALICE]["membership"] == "join"
        assert {("m.room.create", ""), ("m.room.join_rules", "")} <= state.keys()
        assert "org.secret" not in {event_type for event_type, _ in state}


async def test_an_invite_is_news_once(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, invite=[BOB])
    since = await token(bob)

    await set_state(alice, room_id, "m.room.name", {"name": "Trees"})

    assert (await sync(bob, since))["rooms"] == {}


async def test_an_accepted_invite_becomes_a_joined_room(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, invite=[BOB])
    since = await token(bob)

    await join(bob, room_id)

    answer = await sync(bob, since)
    assert answer["rooms"].keys() == {"join"}
    assert room_of(answer, room_id)["summary"]["m.joined_member_count"] == 2


async def test_a_refused_or_revoked_invite_shows_its_end_and_no_more(
    server: Server,
) -> None:
    """Nothing of the room, in which the user never was; but clients take a room for
    an invite until they see the event that ends it.
    """
    alice, bob = server.client(ALICE), server.client(BOB)
    refused = await create_room(alice, name="Trees", invite=[BOB])
    revoked = await create_room(alice, name="Trees", invite=[BOB])
    since = await token(bob)

    await bob.post(f"/v3/rooms/{refused}/leave", {})
    await member(alice, revoked, "kick", BOB)
    await send(alice, refused)

    answer = await sync(bob, since)
    assert answer["rooms"].keys() == {"leave"}
    for room_id, sender in ((refused, BOB), (revoked, ALICE)):
        entry = room_of(answer, room_id, "leave")
        assert entry["state"]["events"] == []
        _assert_left(entry, sender, "invite")
    assert (await sync(bob))["rooms"] == {}
    assert (await sync(bob, answer["next_batch"]))["rooms"] == {}


def _assert_left(entry: dict[str, Any], sender: str, before: str) -> None:
    [event] = entry["timeline"]["events"]
    assert (event["type"], event["state_key"]) == ("m.room.member", BOB)
    assert (event["content"]["membership"], event["sender"]) == ("leave", sender)
    # By this Element tells a denied knock from a kick.
    assert event["unsigned"]["prev_content"]["membership"] == before
    assert not entry["timeline"]["limited"]


async def test_a_knock_that_is_withdrawn_or_denied_shows_its_end(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    knocking = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    room_id = await create_room(alice, initial_state=[knocking])
    for end, sender in (("leave", BOB), ("kick", ALICE)):
        await bob.post(f"/v3/knock/{room_id}", {})
        since = await token(bob)

        if end == "leave":
            await bob.post(f"/v3/rooms/{room_id}/leave", {})
        else:
            await member(alice, room_id, "kick", BOB)

        answer = await sync(bob, since)
        assert answer["rooms"].keys() == {"leave"}
        _assert_left(room_of(answer, room_id, "leave"), sender, "knock")


async def test_the_end_of_an_invite_obeys_the_filter(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, invite=[BOB])
    since = await token(bob)
    await bob.post(f"/v3/rooms/{room_id}/leave", {})

    messages = {"room": {"timeline": {"types": ["m.room.message"]}}}
    entry = room_of(await sync(bob, since, filter=messages), room_id, "leave")

    assert entry["timeline"]["events"] == []


async def test_an_invite_to_a_room_that_was_left_is_news(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    since = await token(bob)
    await member(alice, room_id, "kick", BOB)
    await member(alice, room_id, "invite", BOB)

    answer = await sync(bob, since)

    assert answer["rooms"].keys() == {"invite"}
    assert _state(room_of(answer, room_id, "invite"), "invite")


async def test_a_knock_shows_the_stripped_state_to_who_knocked(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    knocking = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    room_id = await create_room(alice, name="Trees", initial_state=[knocking])
    since = await token(bob)

    response = await bob.post(f"/v3/knock/{room_id}", {"reason": "please"})
    assert response.status == 200

    answer = await sync(bob, since)
    assert answer["rooms"].keys() == {"knock"}
    state = _state(room_of(answer, room_id, "knock"), "knock")
    own = state["m.room.member", BOB]
    assert (own["membership"], own["reason"]) == ("knock", "please")
    assert state["m.room.name", ""] == {"name": "Trees"}


async def test_a_knock_that_is_answered_becomes_an_invite(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    knocking = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    room_id = await create_room(alice, initial_state=[knocking])
    await bob.post(f"/v3/knock/{room_id}", {})
    since = await token(bob)

    await member(alice, room_id, "invite", BOB)

    answer = await sync(bob, since)
    assert answer["rooms"].keys() == {"invite"}
    assert room_id in answer["rooms"]["invite"]
    of_alice = room_of(await sync(alice), room_id)
    assert of_alice["summary"]["m.invited_member_count"] == 1


async def test_an_invite_with_odd_content_does_not_break_the_sync(
    server: Server,
) -> None:
    """CVE-2024-52815: "the user's `/sync` broke for good"."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice)
    odd = {
        "membership": "invite",
        "displayname": {"nested": [None, {}]},
        "avatar_url": 7,
        "is_direct": "maybe",
    }
    since = await token(bob)

    response = await set_state(alice, room_id, "m.room.member", odd, BOB)
    assert response.status == 200

    for answer in (await sync(bob, since), await sync(bob)):
        state = _state(room_of(answer, room_id, "invite"), "invite")
        assert state["m.room.member", BOB] == odd
