"""Rooms that are forgotten as they are left (`rooms.forget_left`), over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.rooms import create_room, error_of, join, member, send
from tests.server import Server, config_for, running_server
from tremula.infra.config import Rooms

ALICE, BOB = "@alice:test", "@bob:test"
WITH_LEFT = {"filter": '{"room":{"include_leave":true}}'}


@pytest.fixture
async def forgetful(
    database_source: DatabaseSource, tmp_path: Path
) -> AsyncIterator[Server]:
    config = config_for(database_source, tmp_path)
    config = replace(config, rooms=Rooms(forget_left=True))
    async with running_server(config) as server:
        yield server


@pytest.mark.parametrize("action", ["leave", "kick", "ban"])
async def test_whoever_leaves_has_forgotten_the_room(
    forgetful: Server, action: str
) -> None:
    alice, bob = forgetful.client(ALICE), forgetful.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await send(alice, room_id)
    since = (await bob.get("/v3/sync")).json["next_batch"]

    if action == "leave":
        await bob.post(f"/v3/rooms/{room_id}/leave", {})
    else:
        await member(alice, room_id, action, BOB, reason="because")

    news = (await bob.get("/v3/sync", query={"since": since})).json
    left = news["rooms"]["leave"][room_id]["timeline"]["events"][-1]
    assert left["content"]["membership"] == ("ban" if action == "ban" else "leave")
    anew = (await bob.get("/v3/sync", query=WITH_LEFT)).json
    assert room_id not in anew.get("rooms", {}).get("leave", {})
    for path in ("messages?dir=b", "state", "members"):
        refused = await bob.get(f"/v3/rooms/{room_id}/{path}")
        assert error_of(refused) == (403, "M_FORBIDDEN")


async def test_the_capability_says_so(forgetful: Server) -> None:
    answer = await forgetful.client(ALICE).get("/v3/capabilities")

    shown = answer.json["capabilities"]["m.forget_forced_upon_leave"]
    assert shown == {"enabled": True}
