"""State with contents of wrong types breaks nobody's view of the room.

An odd event of one member has kept others from syncing before (CVE-2024-52815).
"""

import random
from typing import Final
from urllib.parse import quote

import pytest

from tests.conformance.attacker import Attacker, check_refusal, with_value
from tests.conformance.bad_values import VALUES
from tests.conformance.openapi import content_fields, state_event_types
from tests.conformance.world import World, make_world
from tremula.infra.db import Engine

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

# On PostgreSQL each takes longer; what differs is only what reaches the database.
SAMPLES: Final = {Engine.SQLITE: 15, Engine.POSTGRES: 5}
LAZY: Final = quote('{"room":{"state":{"lazy_load_members":true}}}')


@pytest.mark.parametrize("event_type", state_event_types())
async def test_cve_2024_52815_malformed_state_breaks_no_reader(
    attacker: Attacker, event_type: str
) -> None:
    places = [field.place for field in content_fields(event_type)]
    cases = [(place, value) for place in places for value in VALUES]
    chosen = random.Random(event_type)  # noqa: S311 - no secret
    size = SAMPLES[attacker.server.db.engine]
    for place, value in chosen.sample(cases, min(size, len(cases))):
        world = attacker.world
        since = (await world.bob.get("/v3/sync")).json["next_batch"]
        is_member = event_type == "m.room.member"
        state_key = world.user_id if is_member else ""
        content = {"membership": "join"} if is_member else {}
        room = f"/v3/rooms/{quote(world.room_id)}"
        body = with_value(content, place, value.raw)

        response = await world.alice.request(
            "PUT", f"{room}/state/{event_type}/{quote(state_key)}", body=body
        )
        check_refusal(response, (event_type, place, value.name))
        if response.status == 200:
            await read_everything(world, since, (event_type, place, value.name))
        if not await is_joined(world):
            attacker.world = await make_world(attacker.server)


async def read_everything(world: World, since: str, note: object) -> None:
    """All that looks into the state of a room, as two of its members."""
    room = f"/v3/rooms/{quote(world.room_id)}"
    for client in (world.bob, world.alice):
        for path in (
            f"/v3/sync?filter={LAZY}",
            f"/v3/sync?since={since}",
            "/v3/publicRooms",
            f"{room}/joined_members",
            f"{room}/initialSync",
            f"{room}/messages?dir=b&limit=1",
            f"{room}/aliases",
        ):
            response = await client.get(path)
            assert response.status == 200, (note, path, response.body)


async def is_joined(world: World) -> bool:
    """Whether Alice is still in her room."""
    rooms = (await world.alice.get("/v3/joined_rooms")).json["joined_rooms"]
    return world.room_id in rooms
