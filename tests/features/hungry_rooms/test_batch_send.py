"""`batch_send`: many messages at once, as every reader sees them."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.features.hungry_rooms.bridges import (
    GHOST,
    batch,
    bodies,
    bridge,
    message,
    sent_batch,
)
from tests.features.rooms import create_room, error_of, join, send
from tests.http_client import Client
from tests.server import Server

LOCAL = {"m.federate": False}


async def test_history_stands_between_the_creation_and_the_first_message(
    server: Server,
) -> None:
    """Oldest first within a batch; a later batch is older than the one before."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL)
    await send(bot, room_id, "now")

    await sent_batch(bot, room_id, "3", "4")
    await sent_batch(bot, room_id, "1", "2")

    backwards = ["now", "4", "3", "2", "1", "created"]
    assert await bodies(bot, room_id) == backwards
    assert await bodies(bot, room_id, dir="f") == backwards[::-1]


async def test_what_is_appended_comes_last(server: Server) -> None:
    """With `forward`, and with `forward_if_no_messages` as long as there is none."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL)

    await sent_batch(bot, room_id, "3", "4", forward_if_no_messages=True)
    await sent_batch(bot, room_id, "1", "2", forward_if_no_messages=True)
    await send(bot, room_id, "5")
    await sent_batch(bot, room_id, "6", forward=True)
    await send(bot, room_id, "7")

    found = await bodies(bot, room_id)
    assert found == ["7", "6", "5", "4", "3", "2", "1", "created"]


async def test_appended_messages_are_news_and_history_is_not(server: Server) -> None:
    """`/sync` shows what came after all that the client has, and nothing else."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL, preset="public_chat")
    alice = server.client("@alice:test")
    await join(alice, room_id)
    await send(bot, room_id, "old")
    since = (await alice.get("/v3/sync")).json["next_batch"]

    await sent_batch(bot, room_id, "history")
    quiet = (await alice.get("/v3/sync", query={"since": since})).json
    await sent_batch(bot, room_id, "1", "2", forward=True)
    news = (await alice.get("/v3/sync", query={"since": since})).json

    assert room_id not in quiet.get("rooms", {}).get("join", {})
    timeline = news["rooms"]["join"][room_id]["timeline"]["events"]
    assert [event["content"]["body"] for event in timeline] == ["1", "2"]
    assert {event["sender"] for event in timeline} == {GHOST}


async def test_a_new_client_finds_history_in_a_room_without_messages(
    server: Server,
) -> None:
    """Also right after it was brought, in the process that has the room in memory."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL, preset="public_chat")
    await sent_batch(bot, room_id, "1", "2")
    alice = server.client("@alice:test")
    await join(alice, room_id)

    filters = '{"room":{"timeline":{"limit":100}}}'
    response = await alice.get("/v3/sync", query={"filter": filters})

    timeline = response.json["rooms"]["join"][room_id]["timeline"]["events"]
    shown = [event["content"].get("body") for event in timeline]
    assert [body for body in shown if body] == ["1", "2"]
    assert timeline[0]["type"] == "m.room.create"
    assert timeline[-1]["type"] == "m.room.member"


async def test_a_chosen_id_is_kept_and_names_one_event(server: Server) -> None:
    """Repetitions change nothing, within a batch or later; others may relate to it."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL)
    chosen = "$abc_-def:telegram.org"
    events = [message("once", event_id=chosen), message("twice", event_id=chosen)]
    reaction = message("", type="m.reaction") | {
        "content": {
            "m.relates_to": {"rel_type": "m.annotation", "event_id": chosen, "key": "x"}
        }
    }

    first = await batch(bot, room_id, [*events, reaction])
    second = await batch(bot, room_id, [message("thrice", event_id=chosen)])
    shown = await bot.get(f"/v3/rooms/{quote(room_id)}/event/{quote(chosen)}")
    context = await bot.get(f"/v3/rooms/{quote(room_id)}/context/{quote(chosen)}")
    related = await bot.get(
        f"/v1/rooms/{quote(room_id)}/relations/{quote(chosen)}/m.annotation"
    )

    assert first.json["event_ids"][:2] == [chosen, chosen]
    assert second.json["event_ids"] == [chosen]
    assert shown.json["content"]["body"] == "once"
    assert shown.json["origin_server_ts"] == 1_600_000_000_000
    assert context.json["event"]["event_id"] == chosen
    [child] = related.json["chunk"]
    assert child["event_id"] == first.json["event_ids"][2]
    assert await bodies(bot, room_id) == ["once", "created"]


async def test_an_event_of_another_room_cannot_be_taken_over(server: Server) -> None:
    """Its ID names that event, and nothing of the batch is stored."""
    bot = await bridge(server)
    chosen = "$abc:telegram.org"
    first = await create_room(bot, creation_content=LOCAL)
    second = await create_room(bot, creation_content=LOCAL)
    await batch(bot, first, [message("here", event_id=chosen)])

    refused = await batch(
        bot, second, [message("new"), message("there", event_id=chosen)]
    )

    assert error_of(refused) == (403, "M_FORBIDDEN")
    assert await bodies(bot, second) == ["created"]
    assert await bodies(bot, first) == ["here", "created"]


@pytest.mark.parametrize(
    "event_id",
    [
        "$" + "a" * 43,
        "$:x",
        "abc:x",
        "$a b:x",
        "$a:",
        "$" + "a" * 250 + ":x.org",
    ],
)
async def test_a_chosen_id_has_a_domain_and_a_bound(
    server: Server, event_id: str
) -> None:
    """So that the hash of nobody's event can be taken in advance."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL)

    response = await batch(bot, room_id, [message("x", event_id=event_id)])

    assert error_of(response) == (400, "M_INVALID_PARAM")


async def test_a_room_that_may_federate_takes_no_batch(server: Server) -> None:
    """Other servers would have to believe what no rule has allowed."""
    bot = await bridge(server)
    room_id = await create_room(bot)

    response = await batch(bot, room_id, [message("x")])

    assert error_of(response) == (403, "M_FORBIDDEN")
    assert "m.federate" in response.json["error"]


async def test_only_application_services_that_are_in_the_room_send_batches(
    server: Server,
) -> None:
    """Not users, be the room theirs, and not bridges that are elsewhere."""
    alice = server.client("@alice:test")
    room_id = await create_room(alice, creation_content=LOCAL)
    bot = await bridge(server)

    by_user = await batch(alice, room_id, [message("x", "@alice:test")])
    by_stranger = await batch(bot, room_id, [message("x")])

    assert error_of(by_user) == (403, "M_FORBIDDEN")
    assert error_of(by_stranger) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("sender", ["@alice:test", "@_irc_ann:elsewhere.org"])
async def test_nobody_is_made_to_say_what_they_did_not(
    server: Server, sender: str
) -> None:
    """A bridge speaks for the users of its namespaces, who are users of this server."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL)

    response = await batch(bot, room_id, [message("x", sender)])

    assert error_of(response) == (403, "M_FORBIDDEN")


async def test_the_owner_of_a_bridge_speaks_through_it(server: Server) -> None:
    """What they wrote elsewhere is theirs here."""
    bot = await bridge(server, owner="@alice:test")
    room_id = await create_room(bot, creation_content=LOCAL)

    response = await batch(bot, room_id, [message("mine", "@alice:test")])

    assert response.status == 200, response.body
    assert await bodies(bot, room_id) == ["mine", "created"]


@pytest.mark.parametrize(
    "event",
    [
        message("x", type="m.room.topic", state_key=""),
        message("x", type="m.room.redaction"),
        message("x", room_id="!other:test"),
        message("x", "nobody"),
    ],
)
async def test_only_messages_of_the_room_are_sent(
    server: Server, event: dict[str, object]
) -> None:
    """State and redactions change more than the timeline."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL)

    response = await batch(bot, room_id, [event])

    assert error_of(response) == (400, "M_INVALID_PARAM")


async def test_a_content_that_is_none_refuses_the_whole_batch(server: Server) -> None:
    """All or nothing."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL)
    bad = message("x") | {"content": {"body": 1.5}}
    large = message("x" * 70_000)

    for event, error in ((bad, "M_BAD_JSON"), (large, "M_TOO_LARGE")):
        response = await batch(bot, room_id, [message("y"), event])
        assert response.json["errcode"] == error
    assert await bodies(bot, room_id) == ["created"]


async def test_a_batch_is_read_as_it_comes(server: Server) -> None:
    """`mark_read_by` moves receipt and marker, forward only."""
    bot = await bridge(server, owner="@alice:test")
    room_id = await create_room(bot, creation_content=LOCAL, preset="public_chat")
    alice = server.client("@alice:test")
    await join(alice, room_id)

    appended = await sent_batch(
        bot, room_id, "1", "2", forward=True, mark_read_by="@alice:test"
    )
    await sent_batch(bot, room_id, "0", mark_read_by="@alice:test")
    room = (await alice.get("/v3/sync")).json["rooms"]["join"][room_id]

    [receipts] = [e for e in room["ephemeral"]["events"] if e["type"] == "m.receipt"]
    assert list(receipts["content"]) == [appended[-1]]
    assert list(receipts["content"][appended[-1]]["m.read"]) == ["@alice:test"]
    markers = [e for e in room["account_data"]["events"] if e["type"] == "m.fully_read"]
    assert [each["content"] for each in markers] == [{"event_id": appended[-1]}]


async def test_nobody_is_marked_to_have_read_whom_the_bridge_is_not(
    server: Server,
) -> None:
    """Nor whoever is not in the room; the batch is stored all the same."""
    bot = await bridge(server, owner="@alice:test")
    room_id = await create_room(bot, creation_content=LOCAL, preset="public_chat")
    bob = server.client("@bob:test")
    await join(bob, room_id)

    for reader in ("@bob:test", "@alice:test"):
        await sent_batch(bot, room_id, reader, forward=True, mark_read_by=reader)
    await join(server.client("@alice:test"), room_id)

    assert (await bodies(bot, room_id))[:2] == ["@alice:test", "@bob:test"]
    for client in (bob, server.client("@alice:test")):
        room = (await client.get("/v3/sync")).json["rooms"]["join"][room_id]
        assert "m.fully_read" not in {e["type"] for e in room["account_data"]["events"]}
        assert "m.receipt" not in {e["type"] for e in room["ephemeral"]["events"]}


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"forward": True, "send_notification": True}, 2),
        ({"forward": True}, 0),
        ({"send_notification": True}, 0),
    ],
)
async def test_a_batch_notifies_if_it_is_appended_and_says_so(
    server: Server, options: dict[str, object], count: int
) -> None:
    """History notifies nobody."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL, preset="public_chat")
    alice = server.client("@alice:test")
    await join(alice, room_id)

    await sent_batch(bot, room_id, "1", "2", **options)
    room = (await alice.get("/v3/sync")).json["rooms"]["join"][room_id]

    assert room["unread_notifications"]["notification_count"] == count


async def test_what_was_sent_in_batches_is_found(server: Server) -> None:
    """The index follows history as well."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL, preset="public_chat")
    alice = server.client("@alice:test")
    await join(alice, room_id)
    await sent_batch(bot, room_id, "an ancient whale")
    await sent_batch(bot, room_id, "a recent whale", forward=True)

    body = {"search_categories": {"room_events": {"search_term": "whale"}}}
    response = await alice.post("/v3/search", body)

    results = response.json["search_categories"]["room_events"]["results"]
    found = {each["result"]["content"]["body"] for each in results}
    assert found == {"an ancient whale", "a recent whale"}


async def test_of_a_long_batch_the_newest_are_told_and_all_are_found(
    server: Server,
) -> None:
    """Whoever has a token from before reads the rest."""
    bot = await bridge(server)
    room_id = await create_room(bot, creation_content=LOCAL, preset="public_chat")
    alice = server.client("@alice:test")
    await join(alice, room_id)
    await send(bot, room_id, "before")
    since = (await alice.get("/v3/sync")).json["next_batch"]
    said = [str(number) for number in range(1_000)]

    await sent_batch(bot, room_id, *said, forward=True)
    for limit in (1, 400, 900):
        timeline = await _timeline(alice, room_id, since, limit)
        shown = [event["content"]["body"] for event in timeline["events"]]
        assert shown == said[-limit:]
        assert timeline["limited"] is True
    everything = await _timeline(alice, room_id, since, 1_000)
    room = await bodies(alice, room_id, limit="500")

    assert [e["content"]["body"] for e in everything["events"]] == said
    assert room == [*said[::-1], "before", "created"]


async def _timeline(
    client: Client, room_id: str, since: str, limit: int
) -> dict[str, Any]:
    wanted = json.dumps({"room": {"timeline": {"limit": limit}}})
    response = await client.get("/v3/sync", query={"since": since, "filter": wanted})
    assert response.status == 200, response.body
    timeline: dict[str, Any] = response.json["rooms"]["join"][room_id]["timeline"]
    return timeline


async def test_of_two_rooms_that_choose_an_id_at_once_one_gets_it(
    server: Server,
) -> None:
    """Be it in batches or in single messages."""
    bot = await bridge(server)
    rooms = [await create_room(bot, creation_content=LOCAL) for _ in range(2)]
    batches = [
        batch(bot, room_id, [message("x", event_id="$a:irc.org")], forward=True)
        for room_id in rooms
    ]
    sends = [
        bot.put(
            f"/v3/rooms/{quote(room_id)}/send/m.room.message/1",
            {"msgtype": "m.text", "body": "x"},
            query={"fi.mau.event_id": "$b:irc.org"},
        )
        for room_id in rooms
    ]

    batched = await asyncio.gather(*batches)
    sent = await asyncio.gather(*sends)

    for answers in (batched, sent):
        assert sorted(each.status for each in answers) == [200, 403]
    found = [await bodies(bot, room_id) for room_id in rooms]
    assert sum(each.count("x") for each in found) == 2
