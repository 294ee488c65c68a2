"""What is told with an event of its children (CS "Aggregations of child events")."""

from typing import Any
from urllib.parse import quote

import orjson
import pytest

from tests.fakes.clock import FakeClock
from tests.features.account.test_erased_events import erase
from tests.features.relations.relating import (
    edit,
    ignore,
    redact,
    relate,
    relations_of,
    reply,
)
from tests.features.rooms import create_room, join, member, send, set_state
from tests.server import Server

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"


async def shared_room(server: Server, **body: object) -> str:
    """A public room of Alice and Bob."""
    room_id = await create_room(server.client(ALICE), preset="public_chat", **body)
    await join(server.client(BOB), room_id)
    return room_id


async def test_the_newest_edit_is_told_and_the_content_stays(
    timed_server: Server, clock: FakeClock
) -> None:
    alice = timed_server.client(ALICE)
    room_id = await shared_room(timed_server)
    event_id = await send(alice, room_id, "old")

    await edit(alice, room_id, event_id, "newer")
    # Of two edits in one millisecond, that with the greater ID would be told.
    clock.advance_ms(1)
    newest = await edit(alice, room_id, event_id, "newest")

    path = f"/v3/rooms/{quote(room_id)}/event/{quote(event_id, safe='')}"
    event = (await alice.get(path)).json
    assert event["content"]["body"] == "old"
    told = event["unsigned"]["m.relations"]["m.replace"]
    assert told["event_id"] == newest
    assert told["content"]["m.new_content"]["body"] == "newest"
    assert told["room_id"] == room_id
    assert "m.relations" not in told["unsigned"]


async def test_an_edit_of_another_user_or_type_is_ignored(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    event_id = await send(alice, room_id)

    await edit(bob, room_id, event_id)
    new_content = {"m.new_content": {"body": "new"}}
    await relate(
        alice,
        room_id,
        "m.replace",
        event_id,
        new_content,
        event_type="org.example.other",
    )

    assert await relations_of(alice, room_id, event_id) is None


async def test_an_edit_without_new_content_is_ignored(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id)

    await relate(alice, room_id, "m.replace", event_id)
    await relate(alice, room_id, "m.replace", event_id, {"m.new_content": "new"})

    assert await relations_of(alice, room_id, event_id) is None


async def test_an_edit_of_an_edit_is_ignored(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id)
    first = await edit(alice, room_id, event_id)

    await edit(alice, room_id, first)

    assert await relations_of(alice, room_id, first) is None
    told = await relations_of(alice, room_id, event_id)
    assert told is not None
    assert told["m.replace"]["event_id"] == first


async def test_state_is_neither_edited_nor_edits(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    topic = (await set_state(alice, room_id, "m.room.topic", {"topic": "old"})).json
    message = await send(alice, room_id)

    more = {"m.new_content": {"topic": "new"}}
    await relate(
        alice,
        room_id,
        "m.replace",
        topic["event_id"],
        more,
        event_type="m.room.topic",
    )
    relation = {"rel_type": "m.replace", "event_id": message}
    content = {**more, "m.relates_to": relation}
    assert (await set_state(alice, room_id, "m.room.message", content)).status == 200

    assert await relations_of(alice, room_id, topic["event_id"]) is None
    assert await relations_of(alice, room_id, message) is None


async def test_an_encrypted_edit_needs_no_new_content_in_the_clear(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    encrypted = "m.room.encrypted"
    event_id = await send(alice, room_id, event_type=encrypted)

    edit_id = await relate(alice, room_id, "m.replace", event_id, event_type=encrypted)

    told = await relations_of(alice, room_id, event_id)
    assert told is not None
    assert told["m.replace"]["event_id"] == edit_id


async def test_a_redacted_edit_gives_way_to_the_one_before(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id)
    first, second = [await edit(alice, room_id, event_id) for _ in range(2)]

    await redact(alice, room_id, second)
    told = await relations_of(alice, room_id, event_id)
    assert told is not None
    assert told["m.replace"]["event_id"] == first

    await redact(alice, room_id, first)
    assert await relations_of(alice, room_id, event_id) is None


async def test_a_redacted_event_is_told_without_its_edit(server: Server) -> None:
    """Unlike with its other relations."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id)
    await edit(alice, room_id, event_id)
    reference = await relate(alice, room_id, "m.reference", event_id)

    await redact(alice, room_id, event_id)

    told = await relations_of(alice, room_id, event_id)
    assert told == {"m.reference": {"chunk": [{"event_id": reference}]}}


async def test_references_are_listed_oldest_first(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    event_id = await send(alice, room_id)

    references = [
        await relate(client, room_id, "m.reference", event_id)
        for client in (alice, bob, alice)
    ]

    told = await relations_of(bob, room_id, event_id)
    chunk = [{"event_id": each} for each in references]
    assert told == {"m.reference": {"chunk": chunk}}


async def test_annotations_are_not_aggregated(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id)

    await relate(
        alice,
        room_id,
        "m.annotation",
        event_id,
        event_type="m.reaction",
        relation={"key": "👍"},
    )

    assert await relations_of(alice, room_id, event_id) is None


async def test_a_thread_is_told_with_its_newest_event_and_its_edit(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    root_id = await send(alice, room_id)
    await reply(alice, room_id, root_id)
    newest = await reply(bob, room_id, root_id, body="newest")
    edit_id = await edit(bob, room_id, newest)

    told = await relations_of(bob, room_id, root_id)

    assert told is not None
    thread = told["m.thread"]
    assert thread["count"] == 2
    assert thread["current_user_participated"] is True
    latest = thread["latest_event"]
    assert (latest["event_id"], latest["content"]["body"]) == (newest, "newest")
    assert latest["unsigned"]["m.relations"]["m.replace"]["event_id"] == edit_id


async def test_who_sent_the_root_or_an_event_takes_part_in_a_thread(
    server: Server,
) -> None:
    alice, bob, carol = (server.client(user) for user in (ALICE, BOB, CAROL))
    room_id = await shared_room(server)
    await join(carol, room_id)
    root_id = await send(alice, room_id)
    await reply(bob, room_id, root_id)

    takes_part = []
    for client in (alice, bob, carol):
        told = await relations_of(client, room_id, root_id)
        assert told is not None
        takes_part.append(told["m.thread"]["current_user_participated"])
    assert takes_part == [True, True, False]


async def test_a_thread_whose_events_are_redacted_shrinks_and_ends(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    root_id = await send(alice, room_id)
    first, second = [await reply(alice, room_id, root_id) for _ in range(2)]

    await redact(alice, room_id, second)
    told = await relations_of(alice, room_id, root_id)
    assert told is not None
    assert told["m.thread"]["count"] == 1
    assert told["m.thread"]["latest_event"]["event_id"] == first

    await redact(alice, room_id, first)
    assert await relations_of(alice, room_id, root_id) is None


async def test_what_relates_to_another_event_is_no_root(server: Server) -> None:
    """An event of a thread, in which another server may begin a thread all the same."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    root_id = await send(alice, room_id)
    reference = await relate(alice, room_id, "m.reference", root_id)

    path = f"/v3/rooms/{quote(room_id)}/send/m.room.message/nested"
    relation = {"rel_type": "m.thread", "event_id": reference}
    response = await alice.put(path, {"body": "", "m.relates_to": relation})

    assert (response.status, response.json["errcode"]) == (400, "M_UNKNOWN")


async def test_children_of_ignored_users_are_left_out(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    root_id = await send(alice, room_id)
    await relate(bob, room_id, "m.reference", root_id)
    mine = await reply(alice, room_id, root_id)
    await reply(bob, room_id, root_id)

    await ignore(alice, ALICE, BOB)

    told = await relations_of(alice, room_id, root_id)
    assert told is not None
    assert list(told) == ["m.thread"]
    assert told["m.thread"]["count"] == 1
    assert told["m.thread"]["latest_event"]["event_id"] == mine


async def test_a_thread_of_ignored_users_only_is_not_told(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    root_id = await send(alice, room_id)
    await reply(bob, room_id, root_id)

    await ignore(alice, ALICE, BOB)

    assert await relations_of(alice, room_id, root_id) is None


@pytest.mark.parametrize("visibility", ["shared", "joined"])
async def test_who_left_is_told_what_was_before(
    server: Server, visibility: str
) -> None:
    """Neither the edit, nor the reference, nor the event of the thread after that."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    await set_state(
        alice,
        room_id,
        "m.room.history_visibility",
        {"history_visibility": visibility},
    )
    event_id = await send(alice, room_id)
    early = await reply(alice, room_id, event_id)
    path = f"/v3/rooms/{quote(room_id)}/leave"
    assert (await bob.post(path, {})).status == 200

    await edit(alice, room_id, event_id)
    await relate(alice, room_id, "m.reference", event_id)
    await reply(alice, room_id, event_id)

    told = await relations_of(bob, room_id, event_id)
    assert told is not None
    assert list(told) == ["m.thread"]
    assert told["m.thread"]["count"] == 1
    assert told["m.thread"]["latest_event"]["event_id"] == early


async def test_an_event_of_another_room_is_no_parent(server: Server) -> None:
    alice = server.client(ALICE)
    room_id, other_id = [await create_room(alice) for _ in range(2)]
    event_id = await send(alice, room_id)

    for rel_type in ("m.reference", "m.thread"):
        await relate(alice, other_id, rel_type, event_id)
    await edit(alice, other_id, event_id)

    assert await relations_of(alice, room_id, event_id) is None


async def test_every_reading_endpoint_tells_aggregations(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id)
    reference = await relate(alice, room_id, "m.reference", event_id)
    expected = {"m.reference": {"chunk": [{"event_id": reference}]}}

    room = f"/v3/rooms/{quote(room_id)}"
    context_path = f"{room}/context/{quote(event_id, safe='')}"
    only = orjson.dumps({"types": ["m.room.message"], "not_types": []}).decode()
    context = (await alice.get(context_path, query={"limit": 0})).json
    messages = (
        await alice.get(f"{room}/messages", query={"dir": "b", "filter": only})
    ).json
    limited = orjson.dumps({"room": {"timeline": {"limit": 2}}}).decode()
    sync = (await alice.get("/v3/sync", query={"filter": limited})).json
    timeline = sync["rooms"]["join"][room_id]["timeline"]

    shown: list[dict[str, Any]] = [context["event"]]
    shown += (e for e in messages["chunk"] if e["event_id"] == event_id)
    shown += (e for e in timeline["events"] if e["event_id"] == event_id)
    assert timeline["limited"] is True
    assert [e["unsigned"]["m.relations"] for e in shown] == [expected] * 3


async def test_a_sync_that_leaves_nothing_out_tells_no_aggregations(
    server: Server,
) -> None:
    """The client sees the children themselves."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    since = (await alice.get("/v3/sync")).json["next_batch"]
    event_id = await send(alice, room_id)
    await relate(alice, room_id, "m.reference", event_id)

    sync = (await alice.get("/v3/sync", query={"since": since})).json

    timeline = sync["rooms"]["join"][room_id]["timeline"]
    assert timeline["limited"] is False
    assert all("m.relations" not in e["unsigned"] for e in timeline["events"])


async def test_an_entry_with_a_thread_is_not_shared_by_its_readers(
    server: Server,
) -> None:
    """Who take part in it, or do not, but see the same events of the room."""
    alice, bob, carol = (server.client(user) for user in (ALICE, BOB, CAROL))
    room_id = await shared_room(server)
    await join(carol, room_id)
    wanted = {"room": {"timeline": {"limit": 2, "not_senders": [BOB]}}}
    query = {"filter": orjson.dumps(wanted).decode(), "set_presence": "offline"}
    since = ""
    for client in (carol, bob, carol, bob):
        since = (await client.get("/v3/sync", query=query)).json["next_batch"]
    await send(alice, room_id)
    root_id = await send(alice, room_id)
    await reply(bob, room_id, root_id)
    await reply(alice, room_id, root_id)

    takes_part = []
    for client in (carol, bob):
        sync = await client.get("/v3/sync", query={**query, "since": since})
        [root, _] = sync.json["rooms"]["join"][room_id]["timeline"]["events"]
        thread = root["unsigned"]["m.relations"]["m.thread"]
        takes_part.append(thread["current_user_participated"])
    assert takes_part == [False, True]


async def test_a_banned_users_event_is_told_as_long_as_it_is_there(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await shared_room(server)
    root_id = await send(alice, room_id)
    newest = await reply(bob, room_id, root_id)

    assert (await member(alice, room_id, "ban", BOB)).status == 200

    told = await relations_of(alice, room_id, root_id)
    assert told is not None
    assert told["m.thread"]["latest_event"]["event_id"] == newest


async def test_what_an_erased_user_edited_is_redacted_for_newcomers(
    server: Server,
) -> None:
    """Event and edit, and the newest event of a thread."""
    alice, bob, carol = (server.client(user) for user in (ALICE, BOB, CAROL))
    room_id = await shared_room(server)
    event_id = await send(bob, room_id, "secret")
    await edit(bob, room_id, event_id, "secret, too")
    root_id = await send(alice, room_id)
    await reply(bob, room_id, root_id, "secret as well")
    await erase(bob)
    await join(carol, room_id)

    assert await relations_of(carol, room_id, event_id) is None
    for client, content in ((alice, "secret as well"), (carol, None)):
        told = await relations_of(client, room_id, root_id)
        assert told is not None
        latest = told["m.thread"]["latest_event"]
        assert latest["content"].get("body") == content
    told = await relations_of(alice, room_id, event_id)
    assert told is not None
    assert told["m.replace"]["content"]["body"] == "* secret, too"
