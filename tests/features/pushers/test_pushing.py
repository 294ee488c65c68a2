"""Notifications as push gateways get them, over a real socket."""

from typing import Any

from tests.fakes.clock import FakeClock
from tests.features.pushers.conversations import (
    ALICE,
    BOB,
    new_room,
    push_to,
    read,
    two_in_a_room,
    wake,
)
from tests.features.pushers.push_gateway import PushGateway
from tests.features.pushers.pushing import APP_ID, http_pusher
from tests.features.rooms import send
from tests.server import Server

MENTION = {"msgtype": "m.text", "body": "Hi", "m.mentions": {"user_ids": [ALICE]}}


def pushkeys_in(told: dict[str, Any]) -> set[str]:
    return {each["pushkey"] for each in told["devices"]}


async def test_a_message_is_pushed(server: Server, gateway: PushGateway) -> None:
    alice, bob, room_id = await two_in_a_room(server, name="Kitchen")
    await push_to(alice, gateway, brand="x")

    event_id = await send(bob, room_id, "Dinner")

    told = await gateway.take()
    [device] = told.pop("devices")
    assert told == {
        "event_id": event_id,
        "room_id": room_id,
        "type": "m.room.message",
        "sender": BOB,
        "sender_display_name": "bob",
        "room_name": "Kitchen",
        "prio": "high",
        "content": {"msgtype": "m.text", "body": "Dinner"},
        "counts": {"unread": 1},
    }
    pushkey_ts = device.pop("pushkey_ts")
    assert pushkey_ts == 1_782_000_000
    assert device == {
        "app_id": APP_ID,
        "pushkey": "key",
        "data": {"brand": "x"},
        "tweaks": {"sound": "default"},
    }


async def test_a_gateway_that_is_to_know_the_id_only_gets_no_more(
    server: Server, gateway: PushGateway
) -> None:
    alice, bob, room_id = await two_in_a_room(server, name="Kitchen")
    await push_to(alice, gateway, format="event_id_only")

    event_id = await send(bob, room_id)

    told = await gateway.take()
    assert set(told) == {"event_id", "room_id", "prio", "counts", "devices"}
    assert (told["event_id"], told["room_id"]) == (event_id, room_id)


async def test_a_mention_brings_its_tweaks(
    server: Server, gateway: PushGateway
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await push_to(alice, gateway)

    await bob.put(f"/v3/rooms/{room_id}/send/m.room.message/t", MENTION)

    told = await gateway.take()
    assert told["prio"] == "high"
    assert told["devices"][0]["tweaks"] == {"sound": "default", "highlight": True}


async def test_an_invitation_is_pushed_to_whom_it_invites(
    server: Server, gateway: PushGateway
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await push_to(alice, gateway)

    room_id = await new_room(bob, name="Party")
    await bob.post(f"/v3/rooms/{room_id}/invite", {"user_id": ALICE})

    told = await gateway.take()
    assert told["type"] == "m.room.member"
    assert told["user_is_target"] is True
    assert told["room_id"] == room_id
    assert told["content"]["membership"] == "invite"
    assert told["devices"][0]["tweaks"] == {"sound": "default"}


async def test_devices_of_one_app_are_told_at_once(
    server: Server, gateway: PushGateway
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await push_to(alice, gateway, "one")
    await push_to(alice, gateway, "two")
    await send(bob, room_id)
    pushkeys: set[str] = set()
    while len(pushkeys) < 2:
        # It may have been under way before there was the second one.
        pushkeys |= pushkeys_in(await gateway.take())

    await send(bob, room_id)

    assert pushkeys_in(await gateway.take()) == {"one", "two"}


async def test_everything_is_pushed_once_and_in_order(
    server: Server, gateway: PushGateway
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await push_to(alice, gateway)

    event_ids = [await send(bob, room_id) for _ in range(5)]

    assert [(await gateway.take())["event_id"] for _ in event_ids] == event_ids


async def test_nobody_is_told_of_what_they_sent_or_muted(
    server: Server, gateway: PushGateway
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    muted = await new_room(bob)
    await alice.post(f"/v3/rooms/{muted}/join", {})
    path = f"/v3/pushrules/global/room/{muted}"
    assert (await alice.put(path, {"actions": []})).status == 200
    await push_to(alice, gateway)

    await send(bob, muted)
    await send(alice, room_id)
    event_id = await send(bob, room_id)

    assert (await gateway.take())["event_id"] == event_id


async def test_nobody_is_told_of_those_whom_they_ignore(
    server: Server, gateway: PushGateway
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    carol = server.client("@carol:test")
    await carol.post(f"/v3/rooms/{room_id}/join", {})
    ignored: dict[str, Any] = {"ignored_users": {"@carol:test": {}}}
    path = f"/v3/user/{ALICE}/account_data/m.ignored_user_list"
    await alice.put(path, ignored)
    await push_to(alice, gateway)

    await send(carol, room_id)
    event_id = await send(bob, room_id)

    assert (await gateway.take())["event_id"] == event_id


async def test_what_a_gateway_rejects_is_removed(
    server: Server, gateway: PushGateway
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    await push_to(alice, gateway, "gone")
    await push_to(alice, gateway, "kept")
    gateway.rejected = ["gone", "never heard of"]

    await send(bob, room_id)
    await gateway.take()
    await send(bob, room_id)

    told = await gateway.take()
    assert [each["pushkey"] for each in told["devices"]] == ["kept"]
    pushers = (await alice.get("/v3/pushers")).json["pushers"]
    assert [each["pushkey"] for each in pushers] == ["kept"]


async def test_a_disabled_pusher_gets_nothing_not_even_later(
    server: Server, gateway: PushGateway
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    body: dict[str, Any] = http_pusher(data={"url": gateway.url})
    disabled = {**body, "org.matrix.msc3881.enabled": False}
    assert (await alice.post("/v3/pushers/set", body)).status == 200
    assert (await alice.post("/v3/pushers/set", disabled)).status == 200
    await send(bob, room_id)

    await alice.post("/v3/pushers/set", {**body, "org.matrix.msc3881.enabled": True})
    event_id = await send(bob, room_id)

    assert (await gateway.take())["event_id"] == event_id


async def test_a_device_that_is_logged_out_is_told_nothing(
    server: Server, gateway: PushGateway
) -> None:
    alice, bob, room_id = await two_in_a_room(server)
    phone = server.client(ALICE, device_id="PHONE")
    await push_to(phone, gateway, "phone")
    await push_to(alice, gateway, "laptop")
    await phone.post("/v3/logout", {})

    await send(bob, room_id)

    told = await gateway.take()
    assert [each["pushkey"] for each in told["devices"]] == ["laptop"]


async def test_what_was_read_is_told_as_a_count(
    server: Server, gateway: PushGateway, clock: FakeClock
) -> None:
    """Once, when the user has stopped reading; not for each receipt."""
    alice, bob, room_id = await two_in_a_room(server)
    await push_to(alice, gateway)
    event_ids = [await send(bob, room_id) for _ in range(3)]
    untold = set(event_ids)
    while untold:
        # Whoever takes a slot may tell once more what the one before was telling.
        untold.discard((await gateway.take())["event_id"])

    for event_id in event_ids:
        await read(alice, room_id, event_id)
    clock.advance_ms(2_000)
    await wake(alice)

    told = await gateway.take()
    while told["counts"] != {"unread": 0}:
        # A look that an event had called for came after the first receipts.
        assert "event_id" not in told
        told = await gateway.take()
    assert "event_id" not in told
    assert [each["pushkey"] for each in told["devices"]] == ["key"]
    event_id = await send(bob, room_id)
    assert (await gateway.take())["event_id"] == event_id
