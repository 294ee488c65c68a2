"""CS getNotifications."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, join, send
from tests.http_client import Client
from tests.server import Server

ALICE = "@alice:test"
BOB = "@bob:test"
MENTION = {"msgtype": "m.text", "body": "Hi", "m.mentions": {"user_ids": [ALICE]}}


async def two_in_a_room(server: Server) -> tuple[Client, Client, str]:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(bob, preset="public_chat")
    await join(alice, room_id)
    return alice, bob, room_id


async def mention(bob: Client, room_id: str, txn_id: str) -> str:
    path = f"/v3/rooms/{room_id}/send/m.room.message/{txn_id}"
    event_id: str = (await bob.put(path, MENTION)).json["event_id"]
    return event_id


async def page(client: Client, **query: str | int) -> dict[str, Any]:
    response = await client.get("/v3/notifications", query=query)
    assert response.status == 200, response.body
    found: dict[str, Any] = response.json
    return found


def event_ids(found: dict[str, Any]) -> list[str]:
    return [each["event"]["event_id"] for each in found["notifications"]]


async def test_what_notified_a_user_is_listed_newest_first(server: Server) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await send(alice, room_id, "from herself")
    first = await send(bob, room_id, "first")
    second = await mention(bob, room_id, "t")

    found = await page(alice)

    assert event_ids(found) == [second, first]
    assert "next_token" not in found
    shown = found["notifications"][1]
    assert shown["event"]["content"]["body"] == "first"
    assert shown["event"]["sender"] == BOB
    assert shown["room_id"] == room_id
    assert shown["ts"] == shown["event"]["origin_server_ts"]
    assert shown["read"] is False
    assert shown["actions"][0] == "notify"
    assert {"set_tweak": "highlight"} in found["notifications"][0]["actions"]


async def test_what_was_read_says_so(server: Server) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    seen = await send(bob, room_id)
    await send(bob, room_id)
    path = f"/v3/rooms/{room_id}/receipt/m.read.private/{quote(seen)}"
    assert (await alice.post(path, {})).status == 200

    found = await page(alice)

    assert [each["read"] for each in found["notifications"]] == [False, True]


async def test_the_list_is_read_page_by_page(server: Server) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    other = await create_room(bob, preset="public_chat")
    await join(alice, other)
    sent = [await send(bob, [room_id, other][n % 2]) for n in range(5)]

    pages: list[list[str]] = []
    token = ""
    for _ in range(3):
        found = await page(alice, limit=2, **({"from": token} if token else {}))
        pages.append(event_ids(found))
        token = found.get("next_token", "")

    assert [each for part in pages for each in part] == sent[::-1]
    assert [len(each) for each in pages] == [2, 2, 1]
    assert token == ""


async def test_highlights_are_listed_alone(server: Server) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    mentions = []
    for number in range(3):
        await send(bob, room_id)
        mentions.append(await mention(bob, room_id, f"t{number}"))
        await send(bob, room_id)

    first = await page(alice, only="highlight", limit=2)
    rest = await page(alice, only="highlight", limit=2, **{"from": first["next_token"]})

    assert event_ids(first) == mentions[:0:-1]
    assert event_ids(rest) == mentions[:1]
    assert "next_token" not in rest


async def test_an_invitation_is_listed_until_it_is_accepted(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await alice.get("/v3/sync")
    room_id = await create_room(bob)
    await bob.post(f"/v3/rooms/{room_id}/invite", {"user_id": ALICE})

    [invited] = (await page(alice))["notifications"]

    assert invited["event"]["content"]["membership"] == "invite"
    assert invited["event"]["state_key"] == ALICE
    await join(alice, room_id)
    assert (await page(alice))["notifications"] == []


async def test_what_came_before_the_user_is_not_listed(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(bob, preset="public_chat")
    await send(bob, room_id)
    await join(alice, room_id)
    event_id = await send(bob, room_id)

    assert event_ids(await page(alice)) == [event_id]


async def test_a_room_that_was_left_is_not_listed(server: Server) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await send(bob, room_id)
    await alice.post(f"/v3/rooms/{room_id}/leave", {})

    assert (await page(alice))["notifications"] == []


async def test_what_was_redacted_is_not_listed(server: Server) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    redacted = await send(bob, room_id)
    kept = await send(bob, room_id)
    path = f"/v3/rooms/{room_id}/redact/{quote(redacted)}/t"
    assert (await bob.put(path, {})).status == 200

    assert event_ids(await page(alice)) == [kept]


@pytest.mark.parametrize(
    "query",
    [
        {"from": "s1"},
        {"from": "n"},
        {"from": "n-1"},
        {"from": "n" + "9" * 19},
        {"limit": 0},
        {"limit": "x"},
    ],
)
async def test_what_makes_no_sense_is_refused(
    server: Server, query: dict[str, str | int]
) -> None:
    response = await server.client(ALICE).get("/v3/notifications", query=query)

    assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")


async def test_a_page_has_a_bound(server: Server) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    for _ in range(103):
        await send(bob, room_id)

    found = await page(alice, limit=1_000_000)

    assert len(found["notifications"]) == 100
    rest = await page(alice, **{"from": found["next_token"]})
    assert len(rest["notifications"]) == 3
