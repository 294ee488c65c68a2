"""Device lists and counts of keys for a bridge that encrypts (MSC3202)."""

from typing import Any

from tests.device_keys import CryptoDevice
from tests.features.appservice_transactions.awaiting import told
from tests.features.appservice_transactions.bridge import Bridge
from tests.features.one_time_keys.keys import SIGNED
from tests.features.one_time_keys.test_uploads import keys_of, upload
from tests.features.rooms import create_room, join, send
from tests.server import Server
from tremula.protocol.identifiers import DeviceId, UserId

ALICE = UserId("@alice:test")
GHOST = UserId("@_irc_ghost:test")
PHONE = DeviceId("PHONE")
COUNTS = "device_one_time_keys_count"


async def bridged_room(server: Server) -> str:
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    await join(server.client(GHOST), room_id)
    return room_id


async def publish(server: Server, user_id: UserId, device_id: DeviceId = PHONE) -> None:
    client = server.client(user_id, device_id=device_id)
    keys = CryptoDevice(user_id, device_id).keys()
    assert (await upload(client, device_keys=keys)).status == 200


async def test_changed_devices_are_told(server: Server, bridge: Bridge) -> None:
    await bridged_room(server)
    await publish(server, ALICE)

    lists = await told(bridge, "device_lists", lambda lists: ALICE in lists["changed"])
    assert lists["left"] == []


async def test_own_users_are_told_of_as_well(server: Server, bridge: Bridge) -> None:
    await publish(server, GHOST)

    assert await told(bridge, "device_lists", lambda lists: GHOST in lists["changed"])


async def test_strangers_are_not_told_of(server: Server, bridge: Bridge) -> None:
    await bridged_room(server)
    for user_id in (UserId("@carol:test"), ALICE):
        await publish(server, user_id)
    seen: list[str] = []

    def is_alice(lists: dict[str, Any]) -> bool:
        seen.extend(lists["changed"])
        return ALICE in seen

    await told(bridge, "device_lists", is_alice)
    assert "@carol:test" not in seen


async def test_who_leaves_their_company_is_told(server: Server, bridge: Bridge) -> None:
    room_id = await bridged_room(server)
    bob = server.client("@bob:test")
    await join(bob, room_id)
    await told(bridge, "device_lists", lambda lists: "@bob:test" in lists["changed"])
    await bob.post(f"/v3/rooms/{room_id}/leave", {})

    lists = await told(
        bridge, "device_lists", lambda lists: "@bob:test" in lists["left"]
    )
    assert "@bob:test" not in lists["changed"]


async def test_claimed_keys_are_told(server: Server, bridge: Bridge) -> None:
    device = CryptoDevice(GHOST, PHONE)
    ghost = server.client(GHOST, device_id=PHONE)
    keys = keys_of(device, 1, 2)
    await upload(ghost, device_keys=device.keys(), one_time_keys=keys)
    await told(bridge, COUNTS, lambda counts: counts == {GHOST: {PHONE: {SIGNED: 2}}})
    for left in (1, 0):
        claim = {"one_time_keys": {GHOST: {PHONE: SIGNED}}}
        answer = await server.client(ALICE).post("/v3/keys/claim", claim)
        assert answer.json["one_time_keys"][GHOST][PHONE]
        counts = {GHOST: {PHONE: {SIGNED: left}}}

        assert await told(bridge, COUNTS, counts.__eq__)


async def test_that_there_are_no_keys_is_told_with_events_again(
    server: Server, bridge: Bridge
) -> None:
    """mautrix-python drops what it is told before it has loaded its own keys."""
    ghost = server.client(GHOST, device_id=PHONE)
    await publish(server, GHOST)
    none_left = {GHOST: {PHONE: {SIGNED: 0}}}
    await told(bridge, COUNTS, none_left.__eq__)

    room_id = await create_room(ghost)
    while (await bridge.take()).content.get(COUNTS) != none_left:
        pass

    keys = keys_of(CryptoDevice(GHOST, PHONE), 1)
    await upload(ghost, one_time_keys=keys)
    await told(bridge, COUNTS, lambda counts: counts == {GHOST: {PHONE: {SIGNED: 1}}})
    event_id = await send(ghost, room_id)
    contents = [(await bridge.take()).content]
    while event_id not in [event["event_id"] for event in contents[-1]["events"]]:
        contents.append((await bridge.take()).content)
    assert all(none_left != content.get(COUNTS) for content in contents)


async def test_unused_fallback_keys_are_told(server: Server, bridge: Bridge) -> None:
    device = CryptoDevice(GHOST, PHONE)
    ghost = server.client(GHOST, device_id=PHONE)
    [(name, key)] = keys_of(device, 1, fallback=True).items()
    await upload(ghost, device_keys=device.keys(), fallback_keys={name: key})

    types = {GHOST: {PHONE: [SIGNED]}}

    assert await told(bridge, "device_unused_fallback_key_types", types.__eq__)


async def test_who_does_not_encrypt_is_told_nothing(
    server: Server, bridge: Bridge
) -> None:
    await server.app.appservices.replace(bridge.registration())
    await bridged_room(server)
    await publish(server, ALICE)
    room_id = await bridged_room(server)
    contents = [(await bridge.take()).content]
    while contents[-1]["events"][-1]["room_id"] != room_id:
        contents.append((await bridge.take()).content)

    assert all(list(content) == ["events"] for content in contents)
