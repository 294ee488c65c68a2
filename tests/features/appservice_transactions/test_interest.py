"""Who is told of what (AS "Registration", "Pushing events")."""

from pathlib import Path
from urllib.parse import quote

from tests.features.appservice_transactions.bridge import Bridge, running_bridge
from tests.features.appservices.registrations import namespaces
from tests.features.hungry_rooms.bridges import sent_batch
from tests.features.rooms import create_room, join, member, send, set_state
from tests.server import Server

ALICE = "@alice:test"
GHOST = "@_irc_ghost:test"


async def public_room(server: Server, **body: object) -> str:
    return await create_room(
        server.client(ALICE), preset="public_chat", name="A room", **body
    )


async def test_a_message_where_a_user_of_theirs_is_joined(
    server: Server, bridged: Bridge
) -> None:
    alice, ghost = server.client(ALICE), server.client(GHOST)
    room_id = await public_room(server)
    await join(ghost, room_id)
    joined = (await bridged.take()).content["events"]

    event_id = await send(alice, room_id, "to IRC")

    assert [(e["type"], e["state_key"]) for e in joined] == [("m.room.member", GHOST)]
    [event] = (await bridged.take()).content["events"]
    assert event.pop("unsigned").keys() == {"age"}
    assert event.pop("origin_server_ts")
    assert event == {
        "content": {"body": "to IRC", "msgtype": "m.text"},
        "event_id": event_id,
        "room_id": room_id,
        "sender": ALICE,
        "type": "m.room.message",
    }


async def test_state_says_what_it_replaces(server: Server, bridged: Bridge) -> None:
    alice = server.client(ALICE)
    room_id = await public_room(server)
    await join(server.client(GHOST), room_id)
    await bridged.take()

    await set_state(alice, room_id, "m.room.name", {"name": "Another name"})

    [event] = (await bridged.take()).content["events"]
    assert event["state_key"] == ""
    assert event["unsigned"]["prev_content"] == {"name": "A room"}


async def test_nothing_of_other_rooms(server: Server, bridged: Bridge) -> None:
    alice = server.client(ALICE)
    theirs, other = await public_room(server), await public_room(server)
    await join(server.client(GHOST), theirs)
    await bridged.take()

    await send(alice, other)
    event_id = await send(alice, theirs)

    assert (await bridged.take()).event_ids == [event_id]


async def test_an_invitation_of_a_user_of_theirs_and_nothing_else_before_it_joins(
    server: Server, bridged: Bridge
) -> None:
    alice, ghost = server.client(ALICE), server.client(GHOST)
    room_id = await public_room(server)
    await ghost.get("/v3/account/whoami")

    await member(alice, room_id, "invite", GHOST)
    await send(alice, room_id)
    await join(ghost, room_id)

    told = [
        event["content"].get("membership") for event in await bridged.take_events(2)
    ]
    assert told == ["invite", "join"]


async def test_what_follows_a_leave_is_not_told(
    server: Server, bridged: Bridge
) -> None:
    alice, ghost = server.client(ALICE), server.client(GHOST)
    room_id = await public_room(server)
    await join(ghost, room_id)
    await ghost.post(f"/v3/rooms/{room_id}/leave", {})
    await bridged.take_events(2)

    await send(alice, room_id)
    await join(ghost, room_id)

    [event] = (await bridged.take()).content["events"]
    assert event["content"]["membership"] == "join"


async def test_all_of_a_room_that_is_made_with_a_user_of_theirs(
    server: Server, bridged: Bridge
) -> None:
    ghost = server.client(GHOST)

    await create_room(ghost, name="By the ghost", topic="Itself")

    types = [event["type"] for event in (await bridged.take()).content["events"]]
    assert types[:2] == ["m.room.create", "m.room.member"]
    assert {"m.room.name", "m.room.topic"} <= set(types)


async def test_a_room_by_its_alias_as_long_as_it_has_it(
    server: Server, bridge: Bridge
) -> None:
    aliases = namespaces(aliases="#_irc_.*", exclusive=False)
    await server.add_appservice(bridge.registration(namespaces=aliases))
    alice = server.client(ALICE)
    room_id = await public_room(server)
    path = f"/v3/directory/room/{quote('#_irc_room:test')}"

    await send(alice, room_id, "before")
    await alice.put(path, {"room_id": room_id})
    first = await send(alice, room_id)
    assert (await bridge.take()).event_ids == [first]
    await alice.delete(path)
    await send(alice, room_id, "after")
    await alice.put(path, {"room_id": room_id})
    last = await send(alice, room_id)

    assert (await bridge.take()).event_ids == [last]


async def test_a_room_by_its_id(server: Server, bridge: Bridge) -> None:
    alice = server.client(ALICE)
    room_id = await public_room(server)
    rooms = namespaces(rooms=room_id.replace("!", "\\!"))
    await server.add_appservice(bridge.registration(namespaces=rooms))

    event_id = await send(alice, room_id)

    assert (await bridge.take()).event_ids == [event_id]


async def test_where_the_sender_of_the_registration_is(
    server: Server, bridge: Bridge
) -> None:
    alice, bot = server.client(ALICE), server.client("@bot:test")
    room_id = await public_room(server)
    await join(bot, room_id)
    await server.add_appservice(bridge.registration(sender_localpart="bot"))

    event_id = await send(alice, room_id)

    assert (await bridge.take()).event_ids == [event_id]


async def test_one_that_wants_no_traffic_is_kept_nothing_for(
    server: Server, bridge: Bridge
) -> None:
    await server.add_appservice(bridge.registration(url=None))
    ghost = server.client(GHOST)
    room_id = await create_room(ghost)
    await send(ghost, room_id, "before")

    await server.app.appservices.replace(bridge.registration())
    event_id = await send(ghost, room_id)

    assert (await bridge.take()).event_ids == [event_id]


async def test_what_a_bridge_sends_in_a_batch_is_told_to_others_only(
    server: Server, bridge: Bridge, tmp_path: Path
) -> None:
    async with running_bridge(tmp_path, "relay") as other:
        known = bridge.registration()
        await server.add_appservice(known)
        await server.add_appservice(other.registration())
        bot, relay = server.appservice_client(known), server.client("@_relay_1:test")
        login = {"type": "m.login.application_service", "username": "_irc_bot"}
        await bot.post("/v3/register", login)
        local = {"m.federate": False}
        room_id = await create_room(bot, creation_content=local, preset="public_chat")
        await join(relay, room_id)
        await other.take_events(1)

        sent = await sent_batch(bot, room_id, "1", "2", forward=True)
        await sent_batch(bot, room_id, "history")
        last = await send(relay, room_id)

        told = [event["event_id"] for event in await other.take_events(3)]
        assert told == [*sent, last]
        while last not in (events := (await bridge.take()).event_ids):
            assert not set(events) & set(sent)
        assert not set(events) & set(sent)
