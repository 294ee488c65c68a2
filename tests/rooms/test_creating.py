"""Rooms that are created."""

import asyncio

from tests.features.rooms import create_room
from tests.server import Server

ALICE = "@alice:test"


async def test_rooms_made_alike_at_once_are_different_rooms(server: Server) -> None:
    """In room version 12 the id is a hash: nothing else told these two apart."""
    alice = server.client(ALICE)
    await alice.get("/v3/account/whoami")

    room_ids = await asyncio.gather(*(create_room(alice) for _ in range(5)))

    assert len(set(room_ids)) == 5
