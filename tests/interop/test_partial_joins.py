"""Joins that do not wait for all members to be told."""

import sqlite3

import pytest

from tests.interop.conftest import Pair, Register
from tests.interop.tremula_peer import TremulaPeer
from tests.interop.user import User, assert_same_state

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


def completed_positions(peer: TremulaPeer, room_id: str) -> list[tuple[int | None]]:
    """From when on all members of a room were known, which were left out at first."""
    database = sqlite3.connect(f"file:{peer.database_file}?mode=ro", uri=True)
    try:
        return database.execute(
            """
            SELECT p.completed_pos
            FROM rooms_partial_states p JOIN rooms_rooms r ON r.room_nid = p.room_nid
            WHERE r.room_id = ?
            """,
            (room_id,),
        ).fetchall()
    finally:
        database.close()


async def test_members_that_were_left_out_are_known_later(
    pair: Pair, alice: User, bob: User, version: str, register_at: Register
) -> None:
    room_id = await alice.create_room(version)
    for number in range(3):
        member = await register_at(pair.host, f"member{number}")
        await member.join(room_id, via=pair.host)

    await bob.join(room_id, via=pair.host)

    await bob.until_event(room_id, await alice.say(room_id, "after"))
    await alice.until_event(room_id, await bob.say(room_id, "hello"))
    await assert_same_state(room_id, alice, bob)
    if isinstance(bob.peer, TremulaPeer):
        [(completed_pos,)] = completed_positions(bob.peer, room_id)
        assert completed_pos is not None
