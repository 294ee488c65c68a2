"""What users are told who may not do something: plain words, no rule numbers."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.features.rooms import create_room, join
from tests.server import Server

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        (
            "PUT",
            "state/m.room.name",
            {"name": "Trees"},
            "you need power level 50 to send m.room.name, and have 0",
        ),
        (
            "POST",
            "kick",
            {"user_id": ALICE},
            f"you need power level 50 to remove {ALICE}, and have 0",
        ),
        (
            "POST",
            "ban",
            {"user_id": ALICE},
            f"you need power level 50 to ban {ALICE}, and have 0",
        ),
        (
            "POST",
            "invite",
            {"user_id": CAROL},
            "you need power level 20 to invite, and have 0",
        ),
        (
            "PUT",
            "state/m.room.power_levels",
            {"users": {ALICE: 100, BOB: 50}},
            "you need power level 100 to send m.room.power_levels, and have 0",
        ),
        (
            "PUT",
            f"state/test.card/{ALICE}",
            {},
            "you need power level 50 to send test.card, and have 0",
        ),
    ],
)
async def test_who_lacks_power_is_told_how_much(
    server: Server, method: str, path: str, body: dict[str, Any], said: str
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    await server.client(CAROL).get("/v3/joined_rooms")
    room_id = await create_room(
        alice,
        room_version="11",
        preset="public_chat",
        power_level_content_override={"invite": 20},
    )
    await join(bob, room_id)

    with capture_logs() as logs:
        send = bob.put if method == "PUT" else bob.post
        refused = await send(f"/v3/rooms/{room_id}/{path}", body)

    assert (refused.status, refused.json["error"]) == (403, said)
    assert [each["rule"][:5] for each in logs if each["event"] == "event_refused"] == [
        "RV11 "
    ]


async def test_who_is_outside_is_told_so(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice)

    joining = await bob.post(f"/v3/rooms/{room_id}/join", {})
    saying = await bob.put(f"/v3/rooms/{room_id}/send/m.room.message/1", {"body": ""})

    assert joining.json["error"] == "you are not invited to this room"
    assert saying.json["error"] == "you are not in this room"


async def test_who_has_as_much_power_is_told_so(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(
        alice,
        room_version="11",
        preset="public_chat",
        power_level_content_override={"users": {ALICE: 100, BOB: 100}},
    )
    await join(bob, room_id)

    banning = await bob.post(f"/v3/rooms/{room_id}/ban", {"user_id": ALICE})
    lowering = await bob.put(
        f"/v3/rooms/{room_id}/state/m.room.power_levels", {"users": {BOB: 100}}
    )

    said = f"you can't ban {ALICE}, whose power level is not below yours"
    assert banning.json["error"] == said
    said = f"your power level is 100: you can't change that of {ALICE}, which is 100"
    assert lowering.json["error"] == said
