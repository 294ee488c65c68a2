"""CS getRoomEvents, over HTTP."""

from typing import Any
from urllib.parse import quote

import orjson
import pytest

from tests.backends import table_of_refusals
from tests.features.rooms import create_room, error_of, guest, join, send, set_state
from tests.http_client import Client
from tests.server import Server

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"


async def messages(client: Client, room_id: str, **query: str | int) -> dict[str, Any]:
    response = await client.get(f"/v3/rooms/{room_id}/messages", query=query)
    assert response.status == 200, response.body
    page: dict[str, Any] = response.json
    return page


def texts(page: dict[str, Any]) -> list[str]:
    return [e["content"].get("body") for e in page["chunk"]]


def only(event_type: str, **more: object) -> str:
    return orjson.dumps({"types": [event_type], **more}).decode()


MESSAGES = only("m.room.message")


async def room_with_messages(client: Client, count: int, **body: object) -> str:
    room_id = await create_room(client, **body)
    for number in range(count):
        await send(client, room_id, str(number))
    return room_id


@pytest.mark.parametrize("direction", ["b", "f"])
async def test_pages_cover_the_room_once_and_then_end(
    server: Server, direction: str
) -> None:
    alice = server.client(ALICE)
    room_id = await room_with_messages(alice, 7)

    query: dict[str, str | int] = {"dir": direction, "limit": 4}
    seen: list[dict[str, Any]] = []
    while True:
        page = await messages(alice, room_id, **query)
        seen += page["chunk"]
        assert page["start"] == query.get("from", page["start"])
        if "end" not in page:
            break
        query["from"] = page["end"]

    expected = ["m.room.create", "m.room.member"]
    types = [event["type"] for event in seen]
    assert (types[:2] if direction == "f" else types[:-3:-1]) == expected
    assert len({event["event_id"] for event in seen}) == len(seen) == 6 + 7


async def test_only_an_empty_page_says_that_nothing_is_older(server: Server) -> None:
    """nheko does not show the events of a page that has no ``end``."""
    alice = server.client(ALICE)
    room_id = await room_with_messages(alice, 1)

    oldest = await messages(alice, room_id, dir="b", limit=100)
    older = await messages(alice, room_id, dir="b", **{"from": oldest["end"]})

    assert oldest["chunk"][-1]["type"] == "m.room.create"
    assert older == {"chunk": [], "start": oldest["end"]}


async def test_the_default_is_ten_events_and_the_newest(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await room_with_messages(alice, 12)

    page = await messages(alice, room_id, dir="b")

    assert texts(page) == [str(number) for number in range(11, 1, -1)]


async def test_a_page_ends_at_its_to_token(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await room_with_messages(alice, 6)
    newest = await messages(alice, room_id, dir="b", limit=2)
    middle = await messages(alice, room_id, dir="b", limit=2, **{"from": newest["end"]})

    page = await messages(
        alice,
        room_id,
        dir="f",
        limit=100,
        **{"from": middle["end"], "to": newest["end"]},
    )

    assert texts(page) == ["2", "3"]
    assert "end" not in page
    back = await messages(
        alice,
        room_id,
        dir="b",
        limit=100,
        **{"from": newest["start"], "to": newest["end"]},
    )
    assert texts(back) == ["5", "4"]


async def test_a_sync_token_is_a_place_too(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await room_with_messages(alice, 3)
    token = (await alice.get("/v3/sync")).json["next_batch"]
    await send(alice, room_id, "later")

    before = await messages(alice, room_id, dir="b", limit=1, **{"from": token})
    after = await messages(alice, room_id, dir="f", **{"from": token})

    assert texts(before) == ["2"]
    assert texts(after) == ["later"]


async def test_a_filter_goes_on_past_what_it_leaves_out(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    await send(alice, room_id, "needle", event_type="test.needle")
    for number in range(30):
        await send(alice, room_id, str(number))

    page = await messages(alice, room_id, dir="b", limit=1, filter=only("test.needle"))

    assert texts(page) == ["needle"]


async def test_a_filter_by_sender_room_and_url(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_with_messages(alice, 1, preset="public_chat")
    await join(bob, room_id)
    await send(bob, room_id, "from bob")
    image = {"msgtype": "m.image", "body": "image", "url": "mxc://test/x"}
    await alice.put(f"/v3/rooms/{room_id}/send/m.room.message/image", image)

    async def found(**wanted: object) -> list[str]:
        query = only("m.room.message", **wanted)
        return texts(await messages(alice, room_id, dir="f", filter=query))

    assert await found(senders=[BOB]) == ["from bob"]
    assert await found(not_senders=[BOB]) == ["0", "image"]
    assert await found(contains_url=True) == ["image"]
    assert await found(contains_url=False) == ["0", "from bob"]
    assert await found(rooms=["!other:test"]) == []
    assert await found(not_rooms=[room_id]) == []


async def test_lazy_loading_sends_the_senders_only(server: Server) -> None:
    alice, bob, carol = (server.client(user) for user in (ALICE, BOB, CAROL))
    room_id = await create_room(alice, preset="public_chat")
    for user in (bob, carol):
        await join(user, room_id)
    await send(alice, room_id)
    await send(bob, room_id)

    query = only("m.room.message", lazy_load_members=True)
    page = await messages(alice, room_id, dir="b", filter=query)

    members = {event["state_key"] for event in page["state"]}
    assert members == {ALICE, BOB}
    assert "state" not in await messages(alice, room_id, dir="b", filter=MESSAGES)


async def test_lazy_loading_knows_a_sender_who_came_in_between(
    server: Server,
) -> None:
    """Whose join the filter leaves out of the page."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await send(alice, room_id)
    await join(bob, room_id)
    await send(bob, room_id)

    query = only("m.room.message", lazy_load_members=True)
    pages = [
        await messages(alice, room_id, dir=direction, filter=query)
        for direction in "bf"
    ]

    for page in pages:
        members = {event["state_key"] for event in page["state"]}
        assert members == {ALICE, BOB}


@table_of_refusals
@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ("", "M_MISSING_PARAM"),
        ("dir=x", "M_INVALID_PARAM"),
        ("dir=b&limit=-1", "M_INVALID_PARAM"),
        ("dir=b&limit=ten", "M_INVALID_PARAM"),
        ("dir=b&from=garbage", "M_INVALID_PARAM"),
        ("dir=b&from=s", "M_INVALID_PARAM"),
        ("dir=b&to=t1x", "M_INVALID_PARAM"),
        ("dir=b&filter=%7B", "M_INVALID_PARAM"),
        ("dir=b&filter=%5B%5D", "M_BAD_JSON"),
        ("dir=b&filter=%7B%22types%22%3A7%7D", "M_BAD_JSON"),
    ],
)
async def test_a_malformed_query_is_refused(
    server: Server, query: str, errcode: str
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    refused = await alice.get(f"/v3/rooms/{room_id}/messages?{query}")

    assert error_of(refused) == (400, errcode)


class TestVisibility:
    """History visibility, event by event (CS "Room History Visibility")."""

    async def test_who_never_was_a_member_reads_nothing(self, server: Server) -> None:
        alice, bob = server.client(ALICE), server.client(BOB)
        room_id = await create_room(alice, invite=[BOB])

        for client in (bob, server.client(CAROL), await guest(server)):
            refused = await client.get(f"/v3/rooms/{room_id}/messages?dir=b")
            assert error_of(refused) == (403, "M_FORBIDDEN")
        unknown = await bob.get("/v3/rooms/!nowhere:test/messages?dir=b")
        assert error_of(unknown) == (403, "M_FORBIDDEN")

    @pytest.mark.parametrize(
        ("visibility", "seen"),
        [
            ("shared", ["before", "invited", "joined"]),
            ("invited", ["invited", "joined"]),
            ("joined", ["joined"]),
            ("world_readable", ["before", "invited", "joined", "left"]),
        ],
    )
    async def test_a_former_member_sees_what_they_were_there_for(
        self, server: Server, visibility: str, seen: list[str]
    ) -> None:
        alice, bob = server.client(ALICE), server.client(BOB)
        room_id = await create_room(
            alice,
            initial_state=[
                {
                    "type": "m.room.history_visibility",
                    "content": {"history_visibility": visibility},
                }
            ],
        )
        await send(alice, room_id, "before")
        await alice.post(f"/v3/rooms/{room_id}/invite", {"user_id": BOB})
        await send(alice, room_id, "invited")
        await join(bob, room_id)
        await send(alice, room_id, "joined")
        await bob.post(f"/v3/rooms/{room_id}/leave", {})
        await send(alice, room_id, "left")

        forwards = await messages(bob, room_id, dir="f", filter=MESSAGES)
        backwards = await messages(bob, room_id, dir="b", filter=MESSAGES)

        assert texts(forwards) == seen
        assert texts(backwards) == seen[::-1]

    async def test_a_change_of_visibility_hides_nothing_older(
        self, server: Server
    ) -> None:
        alice, bob = server.client(ALICE), server.client(BOB)
        room_id = await create_room(alice, preset="public_chat")
        key = "m.room.history_visibility"
        await send(alice, room_id, "shared")
        await set_state(alice, room_id, key, {"history_visibility": "joined"})
        await send(alice, room_id, "joined")
        await set_state(alice, room_id, key, {"history_visibility": "world_readable"})
        await send(alice, room_id, "open")

        outsider = await messages(bob, room_id, dir="f", filter=MESSAGES)
        await join(bob, room_id)
        member = await messages(bob, room_id, dir="f", filter=MESSAGES)

        assert texts(outsider) == ["open"]
        assert texts(member) == ["shared", "open"]

    async def test_a_guest_reads_a_world_readable_room(self, server: Server) -> None:
        room_id = await room_with_messages(
            server.client(ALICE),
            1,
            initial_state=[
                {
                    "type": "m.room.history_visibility",
                    "content": {"history_visibility": "world_readable"},
                }
            ],
        )

        page = await messages(await guest(server), room_id, dir="b", filter=MESSAGES)

        assert texts(page) == ["0"]

    async def test_one_event_is_hidden_like_the_others(self, server: Server) -> None:
        alice, bob = server.client(ALICE), server.client(BOB)
        room_id = await create_room(alice, preset="public_chat")
        await join(bob, room_id)
        await bob.post(f"/v3/rooms/{room_id}/leave", {})
        event_id = quote(await send(alice, room_id, "secret"), safe="")

        for path in (f"event/{event_id}", f"context/{event_id}", "event/$nothing"):
            refused = await bob.get(f"/v3/rooms/{room_id}/{path}")
            assert error_of(refused) == (404, "M_NOT_FOUND")
        other_room = await create_room(bob)
        refused = await bob.get(f"/v3/rooms/{other_room}/event/{event_id}")
        assert error_of(refused) == (404, "M_NOT_FOUND")


async def test_messages_of_ignored_users_are_not_shown(server: Server) -> None:
    """CS "Ignoring Users": "the client will no longer receive events sent by that
    user", whom /sync has left out before; state is shown.
    """
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(
        alice, preset="public_chat", power_level_content_override={"state_default": 0}
    )
    await join(bob, room_id)
    await send(bob, room_id, "noise")
    await set_state(bob, room_id, "m.room.topic", {"topic": "bob's"})
    event_id = await send(alice, room_id, "hello")
    path = f"/v3/user/{ALICE}/account_data/m.ignored_user_list"
    await alice.put(path, {"ignored_users": {BOB: {}}})

    page = await messages(alice, room_id, dir="b", limit=4)
    around = await alice.get(
        f"/v3/rooms/{room_id}/context/{event_id}", query={"limit": 6}
    )
    others = await messages(bob, room_id, dir="b", limit=4)

    assert [e["type"] for e in page["chunk"]] == [
        "m.room.message",
        "m.room.topic",
        "m.room.member",
        "m.room.guest_access",
    ]
    before = around.json["events_before"]
    assert [e["type"] for e in before] == [
        "m.room.topic",
        "m.room.member",
        "m.room.guest_access",
    ]
    assert texts(others)[::2] == ["hello", "noise"]
