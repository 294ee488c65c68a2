"""CS module "Server Notices", over HTTP."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.account_moderation.administrators import admin
from tests.features.rooms import error_of, join, set_state, state
from tests.server import Server, UserClient, config_for, running_server
from tremula.infra.config import ServerNotices

ALICE = "@alice:test"
SENDER = "@server-notices:test"
NOTICES = "/_tremula/admin/v1/notices"
CANNOT_LEAVE = (403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM")


async def notify(root: UserClient, body: str = "Backups run at noon.") -> None:
    """Tell Alice something, which must succeed."""
    sent = await root.post(NOTICES, {"user_id": ALICE, "body": body})
    assert sent.status == 200, sent.body


async def invited_to(client: UserClient) -> list[str]:
    """The rooms that a user is invited to."""
    rooms: dict[str, Any] = (await client.get("/v3/sync")).json.get("rooms", {})
    return list(rooms.get("invite", {}))


async def told(server: Server) -> tuple[UserClient, UserClient, str]:
    """The administrator, Alice, and the room that she is invited to by a notice."""
    root, alice = await admin(server), server.client(ALICE)
    await alice.get("/v3/account/whoami")
    await notify(root)
    [room_id] = await invited_to(alice)
    return root, alice, room_id


async def test_a_user_is_told_something_in_a_room_of_their_own(server: Server) -> None:
    _, alice, room_id = await told(server)

    await join(alice, room_id)

    page = (await alice.get(f"/v3/rooms/{room_id}/messages?dir=b")).json["chunk"]
    notice = next(event for event in page if event["type"] == "m.room.message")
    assert notice["sender"] == SENDER
    assert notice["content"]["msgtype"] == "m.server_notice"
    assert notice["content"]["body"] == "Backups run at noon."
    tags = await alice.get(f"/v3/user/{ALICE}/rooms/{room_id}/tags")
    assert tags.json == {"tags": {"m.server_notice": {}}}
    assert await state(alice, room_id, "m.room.name") == {"name": "Server Notices"}


async def test_there_is_one_room_for_all_notices_of_a_user(server: Server) -> None:
    root, alice, room_id = await told(server)

    await notify(root, "second")
    await join(alice, room_id)
    await notify(root, "third")

    assert (await alice.get("/v3/joined_rooms")).json == {"joined_rooms": [room_id]}
    page = (await alice.get(f"/v3/rooms/{room_id}/messages?dir=b")).json["chunk"]
    bodies = [e["content"]["body"] for e in page if e["type"] == "m.room.message"]
    assert bodies[:2] == ["third", "second"]


async def test_the_invitation_cannot_be_rejected(server: Server) -> None:
    _, alice, room_id = await told(server)

    leave = {"membership": "leave"}
    for refused in (
        await alice.post(f"/v3/rooms/{room_id}/leave", {}),
        await set_state(alice, room_id, "m.room.member", leave, ALICE),
    ):
        assert error_of(refused) == CANNOT_LEAVE


async def test_who_has_left_is_invited_by_the_next_notice(server: Server) -> None:
    root, alice, room_id = await told(server)
    await join(alice, room_id)
    assert (await alice.post(f"/v3/rooms/{room_id}/leave", {})).status == 200

    await notify(root)

    assert await invited_to(alice) == [room_id]


async def test_an_operator_may_want_nobody_to_leave(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    config = replace(
        config_for(database_source, tmp_path),
        server_notices=ServerNotices(can_be_left=False),
    )
    async with running_server(config) as server:
        _, alice, room_id = await told(server)
        await join(alice, room_id)

        refused = await alice.post(f"/v3/rooms/{room_id}/leave", {})

        assert error_of(refused) == CANNOT_LEAVE


async def test_nobody_answers_the_server(server: Server) -> None:
    _, alice, room_id = await told(server)
    await join(alice, room_id)

    refused = await alice.put(
        f"/v3/rooms/{room_id}/send/m.room.message/1", {"body": "thanks"}
    )

    assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_nobody_can_be_the_one_who_sends_notices(server: Server) -> None:
    await told(server)

    register = {"username": "server-notices", "password": "correct horse"}
    taken = await server.anonymous.post(
        "/v3/register", register | {"auth": {"type": "m.login.dummy"}}
    )
    assert error_of(taken) == (400, "M_USER_IN_USE")
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": SENDER},
        "password": "correct horse",
    }
    refused = await server.anonymous.post("/v3/login", login)
    assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_somebodys_account_sends_no_notices(server: Server) -> None:
    root, alice = await admin(server), server.client(ALICE)
    await alice.get("/v3/account/whoami")
    await server.client(SENDER).get("/v3/account/whoami")

    refused = await root.post(NOTICES, {"user_id": ALICE, "body": "x"})

    assert error_of(refused) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize(
    ("user_id", "body", "expected"),
    [
        ("@nobody:test", "x", (404, "M_NOT_FOUND")),
        ("@who:elsewhere", "x", (404, "M_NOT_FOUND")),
        ("nonsense", "x", (400, "M_INVALID_PARAM")),
        (ALICE, "", (400, "M_INVALID_PARAM")),
        (ALICE, "x" * 32_769, (400, "M_INVALID_PARAM")),
    ],
)
async def test_notices_go_to_users_of_this_server(
    server: Server, user_id: str, body: str, expected: tuple[int, str]
) -> None:
    root, alice = await admin(server), server.client(ALICE)
    await alice.get("/v3/account/whoami")

    refused = await root.post(NOTICES, {"user_id": user_id, "body": body})

    assert error_of(refused) == expected
    denied = await alice.post(NOTICES, {"user_id": user_id, "body": body})
    assert error_of(denied) == (403, "M_FORBIDDEN")
