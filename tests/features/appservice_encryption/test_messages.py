"""Messages to devices of a bridge's users (MSC4203)."""

from tests.features.appservice_transactions.awaiting import told
from tests.features.appservice_transactions.bridge import Bridge
from tests.features.appservices.registrations import namespaces
from tests.features.to_device.messages import Inbox, put, send
from tests.server import Server

ALICE = "@alice:test"
GHOST = "@_irc_ghost:test"
PHONE = "PHONE"
KEY = "to_device"


async def test_a_message_is_told_with_its_recipient(
    server: Server, bridge: Bridge
) -> None:
    await server.client(GHOST, device_id=PHONE).get("/v3/account/whoami")
    await send(server.client(ALICE), 1, to=GHOST)

    assert await told(bridge, KEY) == [
        {
            "type": "m.x",
            "sender": ALICE,
            "content": {"n": 1},
            "to_user_id": GHOST,
            "to_device_id": PHONE,
        }
    ]


async def test_each_device_and_user_is_told_of_in_order(
    server: Server, bridge: Bridge
) -> None:
    alice, other = server.client(ALICE), "@_irc_other:test"
    for user_id, device_id in ((GHOST, PHONE), (GHOST, "TABLET"), (other, PHONE)):
        await server.client(user_id, device_id=device_id).get("/v3/account/whoami")
    bridge.status = 500
    await put(alice, "all", {GHOST: {"*": {"n": 1}}, other: {PHONE: {"n": 2}}})
    await put(alice, "again", {GHOST: {PHONE: {"n": 3}}})
    bridge.status = 200
    found = await told(bridge, KEY)
    while len(found) < 4:
        found += [each for each in await told(bridge, KEY) if each not in found]

    assert [
        (each["to_user_id"], each["to_device_id"], each["content"]["n"])
        for each in found
    ] == [(GHOST, PHONE, 1), (GHOST, "TABLET", 1), (other, PHONE, 2), (GHOST, PHONE, 3)]


async def test_shared_users_still_fetch_their_messages(
    server: Server, bridge: Bridge
) -> None:
    """Of a namespace that is not exclusive."""
    ghost = server.client(GHOST, device_id=PHONE)
    await ghost.get("/v3/account/whoami")
    await send(server.client(ALICE), 1, to=GHOST)
    await told(bridge, KEY)

    assert [each["content"] for each in await Inbox(ghost).sync()] == [{"n": 1}]


async def test_messages_of_its_own_users_leave_their_inboxes(
    server: Server, bridge: Bridge
) -> None:
    registered = bridge.registration(
        namespaces=namespaces(users="@_irc_.*"), **{"org.matrix.msc3202": True}
    )
    ghost = server.client(GHOST, device_id=PHONE)
    await ghost.get("/v3/account/whoami")
    await server.app.appservices.replace(registered)
    await send(server.client(ALICE), 1, to=GHOST)
    await told(bridge, KEY)

    assert not await Inbox(ghost).sync()


async def test_what_was_fetched_is_not_told(server: Server, bridge: Bridge) -> None:
    bridge.status = 500
    ghost = server.client(GHOST, device_id=PHONE)
    await ghost.get("/v3/account/whoami")
    # It is told of the new device, and takes nothing until then.
    await bridge.take()
    inbox, alice = Inbox(ghost), server.client(ALICE)
    for number in (1, 2):
        await send(alice, number, to=GHOST)
    assert len(await inbox.sync()) == 2
    await inbox.sync()
    bridge.status = 200
    await send(alice, 3, to=GHOST)

    assert [each["content"]["n"] for each in await told(bridge, KEY)] == [3]


async def test_users_of_others_are_not_told_of(server: Server, bridge: Bridge) -> None:
    for user_id in ("@bob:test", GHOST):
        await server.client(user_id, device_id=PHONE).get("/v3/account/whoami")
    await send(server.client(ALICE), 1, to="@bob:test")
    await send(server.client(ALICE), 2, to=GHOST)

    [message] = await told(bridge, KEY)
    assert message["to_user_id"] == GHOST
