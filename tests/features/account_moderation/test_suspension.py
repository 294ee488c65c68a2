"""Suspended accounts, over HTTP (CS "Account suspension")."""

import pytest

from tests.features.account_moderation.administrators import admin
from tests.features.rooms import (
    create_room,
    error_of,
    join,
    member,
    send,
    set_state,
)
from tests.server import PASSWORD, Server, UserClient
from tremula.features.account_moderation.restrictions import RESTRICTIONS

ALICE, BOB = "@alice:test", "@bob:test"
SUSPEND = f"/v1/admin/suspend/{BOB}"
SUSPENDED = (403, "M_USER_SUSPENDED")


async def suspended_bob(server: Server) -> tuple[UserClient, UserClient, str]:
    """Alice, Bob, and a room of both where each of them has power."""
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    room_id = await create_room(
        alice,
        preset="public_chat",
        power_level_content_override={"users_default": 100},
        room_version="11",
    )
    await join(bob, room_id)
    assert (await root.put(SUSPEND, {"suspended": True})).json == {"suspended": True}
    assert (await root.get(SUSPEND)).json == {"suspended": True}
    return alice, bob, room_id


async def test_a_suspended_user_reads_and_says_nothing(server: Server) -> None:
    alice, bob, room_id = await suspended_bob(server)
    await send(alice, room_id, "still there?")

    assert (await bob.get("/v3/sync")).status == 200
    page = await bob.get(f"/v3/rooms/{room_id}/messages", query={"dir": "b"})
    assert page.json["chunk"][0]["content"]["body"] == "still there?"
    receipt = f"/v3/rooms/{room_id}/receipt/m.read/{page.json['chunk'][0]['event_id']}"
    assert (await bob.post(receipt, {})).status == 200
    for refused in (
        await bob.put(f"/v3/rooms/{room_id}/send/m.room.message/1", {"body": "x"}),
        await set_state(bob, room_id, "m.room.topic", {"topic": "mine"}),
        await bob.put(f"/v3/rooms/{room_id}/typing/{BOB}", {"typing": True}),
    ):
        assert error_of(refused) == SUSPENDED


async def test_a_suspended_user_comes_and_invites_nowhere(server: Server) -> None:
    alice, bob, room_id = await suspended_bob(server)
    other_id = await create_room(alice, preset="public_chat", invite=[BOB])

    profile = {"displayname": "x"}
    for refused in (
        await bob.post(f"/v3/join/{other_id}", {}),
        await bob.post(f"/v3/rooms/{other_id}/join", {}),
        await bob.post(f"/v3/knock/{other_id}", {}),
        await bob.post("/v3/createRoom", {}),
        await member(bob, room_id, "invite", "@carol:test"),
        await member(bob, room_id, "kick", ALICE),
        await member(bob, room_id, "ban", "@carol:test"),
        await bob.put(f"/v3/profile/{BOB}/displayname", profile),
        await bob.post(f"/v3/rooms/{room_id}/upgrade", {"new_version": "11"}),
    ):
        assert error_of(refused) == SUSPENDED


async def test_member_events_of_the_suspended_are_leaves_of_their_own(
    server: Server,
) -> None:
    alice, bob, room_id = await suspended_bob(server)
    other_id = await create_room(alice, preset="public_chat", invite=[BOB])

    join_event = {"membership": "join"}
    refused = await set_state(bob, other_id, "m.room.member", join_event, BOB)
    assert error_of(refused) == SUSPENDED
    kick = {"membership": "leave"}
    refused = await set_state(bob, room_id, "m.room.member", kick, ALICE)
    assert error_of(refused) == SUSPENDED
    left = await set_state(bob, room_id, "m.room.member", kick, BOB)
    assert left.status == 200
    assert (await bob.post(f"/v3/rooms/{other_id}/leave", {})).status == 200


@pytest.mark.parametrize("form", ["redact", "send"])
async def test_the_suspended_redact_their_own_events_only(
    server: Server, form: str
) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    room_id = await create_room(
        alice,
        preset="public_chat",
        room_version="11",
        power_level_content_override={"users_default": 100},
    )
    await join(bob, room_id)
    of_alice, of_bob = await send(alice, room_id), await send(bob, room_id)
    await root.put(SUSPEND, {"suspended": True})

    async def redact(event_id: str) -> tuple[int, object]:
        base = f"/v3/rooms/{room_id}"
        if form == "redact":
            response = await bob.put(f"{base}/redact/{event_id}/{event_id[1:9]}", {})
        else:
            response = await bob.put(
                f"{base}/send/m.room.redaction/{event_id[1:9]}", {"redacts": event_id}
            )
        return response.status, response.json.get("errcode")

    assert await redact(of_alice) == SUSPENDED
    assert await redact(of_bob) == (200, None)


async def test_a_suspended_user_logs_in_and_closes_the_account(server: Server) -> None:
    _, bob, _ = await suspended_bob(server)
    again = server.client(BOB)

    devices = (await again.get("/v3/devices")).json["devices"]
    assert len(devices) == 2
    assert error_of(await again.post("/v3/createRoom", {})) == SUSPENDED
    keys = await again.post("/v3/keys/query", {"device_keys": {BOB: []}})
    assert keys.status == 200
    closed = await bob.post(
        "/v3/account/deactivate",
        {
            "auth": {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": BOB},
                "password": PASSWORD,
            }
        },
    )
    assert closed.status == 200


async def test_the_end_of_a_suspension_counts_at_once(server: Server) -> None:
    _, bob, room_id = await suspended_bob(server)
    root = await admin(server)

    await root.put(SUSPEND, {"suspended": False})

    await send(bob, room_id, "back")


async def test_what_is_allowed_are_operations(server: Server) -> None:
    """A name that is misspelt would allow nothing."""
    names = {bound.operation for bound in server.app.application.router.bound()}

    assert RESTRICTIONS.locked_may <= names
    assert RESTRICTIONS.suspended_may <= names
