"""Chats that are put together into one room, or taken apart."""

from urllib.parse import quote

from tests.features.hungry_rooms.bridges import (
    BOT,
    GHOST,
    OTHER_GHOST,
    batch,
    bodies,
    bridge,
    message,
)
from tests.features.rooms import create_room, error_of
from tests.http_client import Client, HttpResponse
from tests.server import Server

KEY = "org.example.chat"
LOCAL = {"m.federate": False}
ONE, TWO = "$one:irc.org", "$two:irc.org"


async def _room(bot: Client, *said: tuple[int, str]) -> str:
    """A room in which this was said, and when."""
    room_id = await create_room(bot, creation_content=LOCAL)
    events = [message(body, origin_server_ts=ts_ms) for ts_ms, body in said]
    response = await batch(bot, room_id, events, forward=True)
    assert response.status == 200, response.body
    return room_id


async def _merge(bot: Client, *rooms: str, user_id: str = BOT) -> HttpResponse:
    body = {"create": {}, "key": KEY, "rooms": rooms, "user_id": user_id}
    return await bot.post("/unstable/com.beeper.chatmerging/merge", body)


async def test_rooms_are_merged_in_the_order_of_times(server: Server) -> None:
    """Within each the order stays; the old ones go."""
    bot = await bridge(server)
    first = await _room(bot, (10, "1"), (30, "3"), (5, "4"))
    second = await _room(bot, (20, "2"), (40, "5"))

    response = await _merge(bot, first, second, user_id=BOT)
    room_id = response.json["room_id"]
    for app in server.apps:
        await app.moderation.rooms.deletions.work_off()

    said = await bodies(bot, room_id, dir="f")
    assert said == ["created", "1", "2", "3", "4", "5"]
    assert (await bot.get("/v3/joined_rooms")).json == {"joined_rooms": [room_id]}


async def test_messages_say_where_they_come_from_and_still_relate(
    server: Server,
) -> None:
    """To the copies of what they related to."""
    bot = await bridge(server)
    room_id = await _room(bot)
    reply = {
        "m.relates_to": {"m.in_reply_to": {"event_id": ONE}},
        "msgtype": "m.text",
        "body": "2",
    }
    events = [message("1", event_id=ONE), message("", event_id=TWO)]
    events[1]["content"] = reply
    await batch(bot, room_id, events, forward=True)

    response = await _merge(bot, room_id)

    path = f"/v3/rooms/{quote(response.json['room_id'])}/messages"
    page = (await bot.get(path, query={"dir": "b", "limit": "2"})).json["chunk"]
    second, first = page
    assert {first["content"][KEY], second["content"][KEY]} == {room_id}
    replied = second["content"]["m.relates_to"]["m.in_reply_to"]["event_id"]
    assert replied == first["event_id"] != ONE
    assert [first["sender"], first["origin_server_ts"]] == [GHOST, 1_600_000_000_000]


async def test_a_room_is_split_by_what_messages_say(server: Server) -> None:
    """The old one stays as long as it has others."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL)
    events = []
    for body, value in (("1", "a"), ("2", "b"), ("3", "a"), ("4", "c"), ("5", None)):
        event = message(body)
        if value is not None:
            event["content"][KEY] = value
        events.append(event)
    await batch(bot, room_id, events, forward=True)
    parts = [
        {
            "user_id": BOT,
            "values": values,
            "create": {"com.beeper.initial_members": [OTHER_GHOST]},
        }
        for values in (["a"], ["b", "c"])
    ]

    response = await bot.post(
        f"/unstable/com.beeper.chatmerging/rooms/{quote(room_id)}/split",
        {"key": KEY, "parts": parts},
    )

    rooms = response.json["room_ids"]
    assert rooms["b"] == rooms["c"] != rooms["a"]
    assert await bodies(bot, rooms["a"], dir="f") == ["created", "1", "3"]
    assert await bodies(bot, rooms["b"], dir="f") == ["created", "2", "4"]
    assert (await bodies(bot, room_id))[0] == "5"


async def test_only_own_rooms_are_merged_and_split(server: Server) -> None:
    """By application services, and for their users."""
    bot = await bridge(server)
    alice = server.client("@alice:test")
    own = await _room(bot, (1, "x"))
    others = await create_room(alice, creation_content=LOCAL)
    split = {
        "key": KEY,
        "parts": [{"user_id": BOT, "values": ["a"], "create": {}}],
    }

    for refused in (
        await _merge(bot, own, others),
        await _merge(bot, own, user_id="@alice:test"),
        await _merge(alice, others, user_id="@alice:test"),
        await bot.post(
            f"/unstable/com.beeper.chatmerging/rooms/{quote(others)}/split", split
        ),
    ):
        assert error_of(refused) == (403, "M_FORBIDDEN")
    assert await bodies(bot, own) == ["x", "created"]
