"""Receipts, typing, presence, account data and profiles on their way to `/sync`."""

import asyncio
from typing import Any

from tests.server import Server, UserClient

ALICE = "@alice:test"
BOB = "@bob:test"


async def _room_of(alice: UserClient, bob: UserClient) -> str:
    """A public room with both in it."""
    created = await alice.post("/v3/createRoom", {"preset": "public_chat"})
    room_id: str = created.json["room_id"]
    assert (await bob.post(f"/v3/join/{room_id}")).status == 200
    return room_id


async def _sync(client: UserClient, **query: str | int) -> dict[str, Any]:
    response = await client.get("/v3/sync", query=query)
    assert response.status == 200, response.body
    answer: dict[str, Any] = response.json
    return answer


async def test_what_a_member_does_reaches_a_waiting_sync(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    sent = await alice.put(
        f"/v3/rooms/{room_id}/send/m.room.message/1", {"msgtype": "m.text", "body": ""}
    )
    event_id = sent.json["event_id"]
    # Nobody's presence is news any more.
    await _sync(alice, set_presence="offline")
    since = (await _sync(bob, set_presence="offline"))["next_batch"]

    waiting = asyncio.create_task(
        _sync(bob, since=since, timeout=5_000, set_presence="offline")
    )
    await asyncio.sleep(0)
    await alice.post(f"/v3/rooms/{room_id}/receipt/m.read/{event_id}", {})
    answer = await waiting

    [receipt] = answer["rooms"]["join"][room_id]["ephemeral"]["events"]
    assert receipt["type"] == "m.receipt"
    assert list(receipt["content"][event_id]["m.read"]) == [ALICE]

    await alice.put(f"/v3/rooms/{room_id}/typing/{ALICE}", {"typing": True})
    answer = await _sync(bob, since=answer["next_batch"], set_presence="offline")
    [typing] = answer["rooms"]["join"][room_id]["ephemeral"]["events"]
    assert typing == {"type": "m.typing", "content": {"user_ids": [ALICE]}}

    answer = await _sync(bob, since=answer["next_batch"], set_presence="offline")
    assert not answer.get("rooms")


async def test_presence_and_a_new_name_are_shown_to_people_who_share_a_room(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = (await _sync(bob))["next_batch"]

    await alice.put(f"/v3/presence/{ALICE}/status", {"presence": "online"})
    await alice.put(f"/v3/profile/{ALICE}/displayname", {"displayname": "Alice L."})

    presence: dict[str, Any] = {}
    members: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while not members or presence.get("displayname") != "Alice L.":
            answer = await _sync(bob, since=since, timeout=5_000)
            since = answer["next_batch"]
            for event in answer.get("presence", {}).get("events", []):
                if event["sender"] == ALICE:
                    presence = event["content"]
            joined = answer.get("rooms", {}).get("join", {})
            members += joined.get(room_id, {}).get("timeline", {}).get("events", [])

    assert presence["presence"] == "online"
    assert [event["content"]["displayname"] for event in members] == ["Alice L."]


async def test_account_data_reaches_the_other_devices(server: Server) -> None:
    phone = server.client(ALICE, device_id="PHONE")
    room_id = await _room_of(phone, server.client(BOB))
    laptop = server.client(ALICE, device_id="LAPTOP")
    since = (await _sync(laptop))["next_batch"]

    await phone.put(f"/v3/user/{ALICE}/account_data/m.direct", {BOB: [room_id]})
    await phone.put(f"/v3/user/{ALICE}/rooms/{room_id}/tags/m.favourite", {"order": 0})
    answer = await _sync(laptop, since=since)

    direct = {"type": "m.direct", "content": {BOB: [room_id]}}
    assert answer["account_data"]["events"] == [direct]
    tags = {"type": "m.tag", "content": {"tags": {"m.favourite": {"order": 0}}}}
    assert answer["rooms"]["join"][room_id]["account_data"]["events"] == [tags]
