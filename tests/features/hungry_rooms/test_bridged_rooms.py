"""Rooms as bridges create them: with their members, and with IDs and times."""

from pathlib import Path
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from tests.features.hungry_rooms.bridges import (
    BOT,
    GHOST,
    OTHER_GHOST,
    batch,
    bridge,
    message,
)
from tests.features.rooms import create_room, error_of, join, state
from tests.http_client import Client
from tests.server import Server, config_for, running_server
from tremula.infra.config import Federation, PostgresUrl, SqliteFile


async def _members(client: Client, room_id: str) -> dict[str, str]:
    response = await client.get(f"/v3/rooms/{quote(room_id)}/members")
    assert response.status == 200, response.body
    return {
        event["state_key"]: event["content"]["membership"]
        for event in response.json["chunk"]
    }


async def test_members_are_in_the_room_from_the_beginning(server: Server) -> None:
    """Those who are invited too, as far as the bridge may act as them."""
    bot = await bridge(server, owner="@alice:test")
    alice, bob = server.client("@alice:test"), server.client("@bob:test")
    await bob.get("/v3/account/whoami")

    room_id = await create_room(
        bot,
        invite=["@alice:test", "@bob:test", GHOST],
        **{
            "com.beeper.auto_join_invites": True,
            "com.beeper.initial_members": [GHOST, OTHER_GHOST],
            "com.beeper.bridge_name": "irc",
        },
    )

    assert await _members(alice, room_id) == {
        BOT: "join",
        "@alice:test": "join",
        "@bob:test": "invite",
        GHOST: "join",
        OTHER_GHOST: "join",
    }
    assert (await state(alice, room_id, "m.room.create"))["m.federate"] is False
    shown = (await alice.get("/v3/sync")).json["rooms"]
    assert list(shown["join"]) == [room_id]
    assert list((await bob.get("/v3/sync")).json["rooms"]["invite"]) == [room_id]


async def test_members_come_into_rooms_that_federate_by_the_rules(
    server: Server,
) -> None:
    """They are invited first."""
    bot = await bridge(server)

    room_id = await create_room(
        bot,
        creation_content={"m.federate": True},
        **{"com.beeper.initial_members": [GHOST]},
    )

    assert await _members(bot, room_id) == {BOT: "join", GHOST: "join"}


async def test_what_bridges_ask_for_counts_for_nothing_with_users(
    server: Server,
) -> None:
    """Nobody else puts people into rooms."""
    alice = server.client("@alice:test")
    bob = server.client("@bob:test")
    await bob.get("/v3/account/whoami")

    room_id = await create_room(
        alice,
        invite=["@bob:test"],
        **{"com.beeper.auto_join_invites": True, "fi.mau.room_id": "!mine:test"},
    )

    assert room_id != "!mine:test"
    assert (await _members(alice, room_id))["@bob:test"] == "invite"
    assert "m.federate" not in await state(alice, room_id, "m.room.create")


async def test_a_bridge_chooses_the_id_and_the_time_of_a_room(server: Server) -> None:
    """Once."""
    bot = await bridge(server)
    wanted = {"fi.mau.room_id": "!chat 1.me:test", "fi.mau.origin_server_ts": 1_234}

    room_id = await create_room(bot, **wanted)
    again = await bot.post("/v3/createRoom", wanted)
    events = (await bot.get(f"/v3/rooms/{quote(room_id)}/state")).json

    assert room_id == "!chat 1.me:test"
    assert error_of(again) == (400, "M_ROOM_IN_USE")
    assert {event["origin_server_ts"] for event in events} == {1_234}


@pytest.mark.parametrize(
    "body",
    [
        {"fi.mau.room_id": "!chat:elsewhere.org"},
        {"fi.mau.room_id": "chat"},
        {"fi.mau.room_id": "!chat:test", "room_version": "12"},
        {"fi.mau.room_id": "!chat:test", "creation_content": {"m.federate": True}},
    ],
)
async def test_a_chosen_room_id_is_of_a_room_that_stays_here(
    server: Server, body: dict[str, object]
) -> None:
    """Other servers would not believe it."""
    bot = await bridge(server)

    response = await bot.post("/v3/createRoom", body)

    assert error_of(response) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("version", [{}, {"room_version": "12"}])
async def test_power_levels_may_name_the_bridges_bot(
    server: Server, version: dict[str, str]
) -> None:
    """As bridges write them, whatever the room version thinks of that."""
    bot = await bridge(server)
    levels = {"users": {BOT: 9001, GHOST: 50}}

    room_id = await create_room(
        bot,
        power_level_content_override=levels,
        **version,
        **{"com.beeper.bridge_name": "irc"},
    )

    users = (await state(bot, room_id, "m.room.power_levels"))["users"]
    assert users[GHOST] == 50


async def test_a_bridge_makes_of_its_users_in_its_rooms_what_it_likes(
    server: Server,
) -> None:
    """Against the rules: neither bans nor missing invitations keep anybody out."""
    bot = await bridge(server, owner="@alice:test")
    room_id = await create_room(bot, **{"com.beeper.bridge_name": "irc"})
    members = f"/v3/rooms/{quote(room_id)}/state/m.room.member"

    for user_id, membership in (
        (GHOST, "join"),
        (GHOST, "ban"),
        (GHOST, "join"),
        ("@alice:test", "join"),
    ):
        content = {"membership": membership, "com.beeper.member_rollback": True}
        response = await bot.put(f"{members}/{quote(user_id)}", content)
        assert response.status == 200, response.body
        assert (await _members(bot, room_id))[user_id] == membership


async def test_a_bridge_changes_nobody_else(server: Server) -> None:
    """Neither others in its rooms, nor its own in the rooms of others."""
    bot = await bridge(server)
    alice = server.client("@alice:test")
    own = await create_room(bot, **{"com.beeper.bridge_name": "irc"})
    others = await create_room(
        alice, preset="public_chat", creation_content={"m.federate": False}
    )
    await join(bot, others)
    join_content = {"membership": "join", "com.beeper.member_rollback": True}

    for room_id, user_id in ((own, "@alice:test"), (others, GHOST)):
        response = await bot.put(
            f"/v3/rooms/{quote(room_id)}/state/m.room.member/{quote(user_id)}",
            join_content,
        )
        assert error_of(response) == (403, "M_FORBIDDEN")
    refused = await batch(bot, others, [message("x")])
    assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_who_is_in_the_room_can_not_be_invited(server: Server) -> None:
    """Bridges know it by these words."""
    bot = await bridge(server)
    room_id = await create_room(bot, **{"com.beeper.initial_members": [GHOST]})

    response = await bot.put(
        f"/v3/rooms/{quote(room_id)}/state/m.room.member/{quote(GHOST)}",
        {"membership": "invite"},
    )

    assert error_of(response) == (403, "M_FORBIDDEN")
    assert "is already in the room" in response.json["error"]


async def test_a_bridge_chooses_ids_and_times_of_what_it_sends(server: Server) -> None:
    """Of messages and of state; the same ID again is the same event."""
    bot = await bridge(server)
    room_id = await create_room(bot, **{"com.beeper.bridge_name": "irc"})
    room = f"/v3/rooms/{quote(room_id)}"
    body = {"msgtype": "m.text", "body": "x"}
    chosen = {"ts": "1234", "fi.mau.event_id": "$a:irc.org"}

    first = await bot.put(f"{room}/send/m.room.message/1", body, query=chosen)
    again = await bot.put(f"{room}/send/m.room.message/2", body, query=chosen)
    topic = await bot.put(
        f"{room}/state/m.room.topic",
        {"topic": "x"},
        query={"ts": "5678", "fi.mau.event_id": "$b:irc.org"},
    )

    assert [each.json["event_id"] for each in (first, again, topic)] == [
        "$a:irc.org",
        "$a:irc.org",
        "$b:irc.org",
    ]
    shown = {}
    for event_id in ("$a:irc.org", "$b:irc.org"):
        event = (await bot.get(f"{room}/event/{quote(event_id)}")).json
        shown[event_id] = event["origin_server_ts"]
    assert shown == {"$a:irc.org": 1234, "$b:irc.org": 5678}


async def test_state_with_a_transaction_id_is_set_once(server: Server) -> None:
    """Also if it has been set to something else meanwhile."""
    bot = await bridge(server)
    room_id = await create_room(bot, **{"com.beeper.bridge_name": "irc"})
    path = f"/v3/rooms/{quote(room_id)}/state/m.room.topic"
    txn = {"fi.mau.transaction_id": "t1"}

    first = await bot.put(path, {"topic": "1"}, query=txn)
    await bot.put(path, {"topic": "2"})
    again = await bot.put(path, {"topic": "1"}, query=txn)

    assert again.json == first.json
    assert (await state(bot, room_id, "m.room.topic"))["topic"] == "2"


async def test_in_rooms_that_may_federate_times_are_chosen_but_no_ids(
    server: Server,
) -> None:
    """An ID has to be the event's hash there."""
    bot = await bridge(server)
    room_id = await create_room(bot)
    path = f"/v3/rooms/{quote(room_id)}/send/m.room.message"
    body = {"msgtype": "m.text", "body": "x"}

    sent = await bot.put(f"{path}/1", body, query={"ts": "1234"})
    refused = await bot.put(f"{path}/2", body, query={"fi.mau.event_id": "$a:irc.org"})
    too_late = await bot.put(f"{path}/3", body, query={"ts": str(2**53)})

    event_id = quote(sent.json["event_id"])
    event = (await bot.get(f"/v3/rooms/{quote(room_id)}/event/{event_id}")).json
    assert event["origin_server_ts"] == 1234
    assert error_of(refused) == (403, "M_FORBIDDEN")
    assert error_of(too_late) == (400, "M_INVALID_PARAM")


async def test_users_choose_neither_times_nor_ids(server: Server) -> None:
    """What they ask for counts for nothing."""
    alice = server.client("@alice:test")
    room_id = await create_room(alice, creation_content={"m.federate": False})

    sent = await alice.put(
        f"/v3/rooms/{quote(room_id)}/send/m.room.message/1",
        {"msgtype": "m.text", "body": "x"},
        query={"ts": "1234", "fi.mau.event_id": "$a:irc.org"},
    )

    event_id = quote(sent.json["event_id"])
    event = (await alice.get(f"/v3/rooms/{quote(room_id)}/event/{event_id}")).json
    assert event["event_id"] != "$a:irc.org"
    assert event["origin_server_ts"] > 1234


async def test_a_room_of_a_bridge_is_deleted_and_forgotten(server: Server) -> None:
    """With all who are in it; what is gone is not found."""
    bot = await bridge(server, owner="@alice:test")
    room_id = await create_room(
        bot,
        **{"com.beeper.initial_members": [GHOST, OTHER_GHOST, "@alice:test"]},
    )
    path = f"/unstable/com.beeper.yeet/rooms/{quote(room_id)}/delete"

    deleted = await bot.post(path, {})
    again = await bot.post(path, {})
    for app in server.apps:
        await app.moderation.rooms.deletions.work_off()
    gone = await bot.post(path, {})

    assert (deleted.status, deleted.json) == (200, {})
    assert again.status in {200, 404}
    assert error_of(gone) == (404, "M_NOT_FOUND")
    alice = server.client("@alice:test")
    assert (await alice.get("/v3/joined_rooms")).json == {"joined_rooms": []}
    [left] = await server.db.all("SELECT COUNT(*) FROM rooms_events")
    assert left == (0,)


async def test_nobody_deletes_the_rooms_of_others(server: Server) -> None:
    """Neither users nor bridges that are guests there."""
    bot = await bridge(server)
    alice = server.client("@alice:test")
    room_id = await create_room(alice, preset="public_chat")
    await join(bot, room_id)
    path = f"/unstable/com.beeper.yeet/rooms/{quote(room_id)}/delete"

    for client in (bot, alice):
        assert error_of(await client.post(path, {})) == (403, "M_FORBIDDEN")


async def test_rooms_that_are_made_while_federation_is_off_never_federate(
    database_source: SqliteFile | PostgresUrl, tmp_path: Path
) -> None:
    """So that bridges may do there what other servers would not believe."""
    config = replace(
        config_for(database_source, tmp_path), federation=Federation(enabled=False)
    )
    async with running_server(config) as server:
        bot = await bridge(server)
        room_id = await create_room(bot)
        wanted = await create_room(bot, creation_content={"m.federate": True})

        assert (await batch(bot, room_id, [message("x")])).status == 200
        assert error_of(await batch(bot, wanted, [message("x")])) == (
            403,
            "M_FORBIDDEN",
        )
