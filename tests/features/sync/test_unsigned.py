"""What the events of `/sync` say in ``unsigned``."""

from typing import Any

from tests.features.rooms import create_room, join, send, set_state
from tests.features.sync.syncing import room_of, sync, token
from tests.server import Server, UserClient

ALICE = "@alice:test"
BOB = "@bob:test"


async def _room_of(alice: UserClient, bob: UserClient) -> str:
    room_id = await create_room(alice, preset="public_chat", topic="first")
    await join(bob, room_id)
    return room_id


async def _newest(client: UserClient, since: str, room_id: str) -> dict[str, Any]:
    entry = room_of(await sync(client, since), room_id)
    event: dict[str, Any] = entry["timeline"]["events"][-1]
    return event


async def test_only_the_sending_device_is_shown_the_transaction_id(
    server: Server,
) -> None:
    """Whoever asks first: answers are shared among others only."""
    phone, bob = server.client(ALICE, device_id="PHONE"), server.client(BOB)
    room_id = await _room_of(phone, bob)
    laptop = server.client(ALICE, device_id="LAPTOP")
    since = await token(phone)
    path = f"/v3/rooms/{room_id}/send/m.room.message/mine"
    assert (await phone.put(path, {"msgtype": "m.text", "body": ""})).status == 200

    shown = [
        (await _newest(client, since, room_id))["unsigned"].get("transaction_id")
        for client in (bob, laptop, phone, bob, laptop, phone)
    ]

    assert shown == [None, None, "mine", None, None, "mine"]


async def test_a_state_event_tells_what_it_replaced(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    first = await set_state(alice, room_id, "m.room.topic", {"topic": "second"})
    since = await token(bob)

    await set_state(alice, room_id, "m.room.topic", {"topic": "third"})
    replacing = (await _newest(bob, since, room_id))["unsigned"]
    await set_state(alice, room_id, "org.new", {})
    fresh = (await _newest(bob, since, room_id))["unsigned"]

    assert replacing["prev_content"] == {"topic": "second"}
    assert replacing["prev_sender"] == ALICE
    assert replacing["replaces_state"] == first.json["event_id"]
    assert not {"prev_content", "prev_sender", "replaces_state"} & fresh.keys()


async def test_events_tell_the_readers_membership(server: Server) -> None:
    """That at the event, including what it changed itself."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await send(alice, room_id)
    await join(bob, room_id)
    await send(alice, room_id)

    wanted = {"room": {"timeline": {"limit": 3}}}
    entry = room_of(await sync(bob, filter=wanted), room_id)

    events = entry["timeline"]["events"]
    assert [e["unsigned"]["membership"] for e in events] == ["leave", "join", "join"]
    [create, *_] = entry["state"]["events"]
    assert create["unsigned"]["membership"] == "leave"
    assert all(isinstance(e["unsigned"]["age"], int) for e in events)


async def test_a_redacted_event_tells_by_what(server: Server) -> None:
    """Also in an answer that was built before, and for a state event."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    message = await send(alice, room_id, "secret")
    topic = await set_state(alice, room_id, "m.room.topic", {"topic": "secret"})
    await sync(bob, since)
    for event_id in (message, topic.json["event_id"]):
        path = f"/v3/rooms/{room_id}/redact/{event_id}/r{event_id[1:4]}"
        assert (await alice.put(path, {"reason": "oops"})).status == 200

    entry = room_of(await sync(bob, since), room_id)
    after = room_of(await sync(bob, since, use_state_after=True), room_id)

    *redacted, first, second = entry["timeline"]["events"]
    assert [event["content"] for event in redacted] == [{}, {}]
    because = [event["unsigned"]["redacted_because"] for event in redacted]
    assert [each["event_id"] for each in because] == [
        first["event_id"],
        second["event_id"],
    ]
    assert because[0]["content"]["reason"] == "oops"
    assert because[0]["content"]["redacts"] == message == first["redacts"]
    [state] = after["state_after"]["events"]
    assert state["content"] == {}
    assert "secret" not in str(entry)
