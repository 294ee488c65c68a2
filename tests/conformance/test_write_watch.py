"""That "nothing is stored" can be told: by request, not by time."""

import asyncio

import pytest

from tests.conformance.attacker import Attacker
from tests.conformance.write_watch import stored_here
from tests.features.rooms import send

pytestmark = [pytest.mark.asyncio(loop_scope="module")]


async def test_what_a_request_stores_is_seen(attacker: Attacker) -> None:
    with stored_here() as stored:
        await send(attacker.world.alice, attacker.world.room_id)

    assert any("INSERT INTO rooms_events" in sql for sql in stored)


async def test_what_others_store_meanwhile_is_not(attacker: Attacker) -> None:
    go = asyncio.Event()

    async def send_later() -> None:
        await go.wait()
        await send(attacker.world.bob, attacker.world.room_id)

    async with asyncio.TaskGroup() as others:
        other = others.create_task(send_later())
        with stored_here() as stored:
            go.set()
            await other

    assert stored == []


async def test_what_was_refused_is_not(attacker: Attacker) -> None:
    world = attacker.world
    with stored_here() as stored:
        response = await world.alice.put(
            f"/v3/directory/room/%23{world.alias[1:]}", {"room_id": world.room_id}
        )

    assert response.status == 409
    assert stored == []
