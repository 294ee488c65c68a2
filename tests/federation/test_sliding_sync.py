"""Sliding sync of rooms of other servers."""

import asyncio
from typing import Any

import pytest

from tests.features.rooms import create_room, member
from tests.features.sliding_sync.polling import a_list, keys, slide
from tests.federation.big_rooms import MEMBERS, BigRoom, big_room
from tests.federation.memberships import BOB, join, leave
from tests.federation.remote import FAR, Remote
from tests.http_client import Client
from tests.server import Server

PATIENCE_S = 10
LAZY = [["*", "*"], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]]


@pytest.fixture
def room(remote: Remote, third: Remote) -> BigRoom:
    return big_room(remote, third)


async def _until_in(
    client: Client, pos: str, room_id: str, lists: dict[str, Any]
) -> dict[str, Any]:
    """The room's next entry."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await slide(client, pos, wait_ms=10_000, lists=lists)
            if room_id in answer["rooms"]:
                entry: dict[str, Any] = answer["rooms"][room_id]
                return entry
            pos = answer["pos"]


async def test_a_room_is_shown_lazily_before_its_members_are_known(
    bob: Client, room: BigRoom
) -> None:
    """Without counts; and anew when they are."""
    await join(bob, room.id, FAR)
    lists = {"all": a_list(required_state=LAZY)}
    first = await slide(bob, lists=lists)
    room.released.set()

    entry = await _until_in(bob, first["pos"], room.id, lists)

    before = first["rooms"][room.id]
    assert "joined_count" not in before
    assert ("m.room.name", "") in keys(before["required_state"])
    assert entry["initial"] is True
    assert entry["joined_count"] == MEMBERS + 3


async def test_whoever_wants_all_members_is_not_shown_a_few(
    bob: Client, room: BigRoom
) -> None:
    await join(bob, room.id, FAR)
    lists = {"all": a_list(required_state=[["m.room.member", "*"]])}
    first = await slide(bob, lists=lists)
    room.released.set()

    entry = await _until_in(bob, first["pos"], room.id, lists)

    assert first["rooms"] == {}
    assert entry["initial"] is True
    assert len(entry["required_state"]) > MEMBERS


async def test_a_room_that_was_left_before_it_was_known_is_gone(
    bob: Client, room: BigRoom, remote: Remote, two: Server
) -> None:
    """What comes after a kick is not told, whoever was known to be there."""
    await join(bob, room.id, FAR)
    lists = {"all": a_list(required_state=LAZY)}
    first = await slide(bob, lists=lists)
    kick = room.add("m.room.member", {"membership": "leave"}, state_key=BOB)
    secret = room.add("m.room.name", {"name": "Secret"}, state_key="")
    for each in (kick, secret):
        await remote.send(two, room.pdu(each))

    left = await slide(bob, first["pos"], lists=lists)
    after = await slide(bob, left["pos"], lists=lists)

    [last] = left["rooms"][room.id]["timeline"]
    assert (last["type"], last["content"]["membership"]) == ("m.room.member", "leave")
    assert "Secret" not in str(left)
    assert after["rooms"] == {}


async def test_an_invitation_from_elsewhere_is_shown_and_refused(
    alice: Client, bob: Client
) -> None:
    room_id = await create_room(
        alice, name="Aspens", creation_content={"type": "m.space"}
    )
    await member(alice, room_id, "invite", BOB)
    lists = {"spaces": a_list(room_types=["m.space"], is_invite=True)}
    first = await slide(bob, lists=lists)

    await leave(bob, room_id)
    second = await slide(bob, first["pos"], lists={"all": a_list()})
    third = await slide(bob, second["pos"], lists={"all": a_list()})

    state = first["rooms"][room_id]["invite_state"]
    assert {"m.room.name", "m.room.member"} <= {event["type"] for event in state}
    [refusal] = second["rooms"][room_id]["timeline"]
    assert refusal["content"]["membership"] == "leave"
    assert "room_id" not in refusal
    assert third["lists"]["all"]["count"] == 0
