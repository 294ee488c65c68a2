"""Rooms of other servers whose state is not of the types that it should be of."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.features.rooms import error_of, send
from tests.federation.hosted import HostedRoom, Json
from tests.federation.memberships import join, leave, stored_rooms
from tests.federation.remote import FAR, Remote
from tests.http_client import Client
from tests.server import Server
from tremula.protocol.identifiers import RoomId
from tremula.protocol.room_versions import ROOM_VERSIONS

ODD: list[Any] = ["no", 7, [], {}, None, {"room_id": 7}, {"room_id": "!x:far.test"}]


def odd_room(
    remote: Remote, name: str, version_id: str, *, create: Json, levels: Json
) -> HostedRoom:
    """A room with these contents in its first events."""
    version = ROOM_VERSIONS[version_id]
    room = HostedRoom(remote, version, RoomId(f"!{name}:{remote.name}"))
    base: Json = {"room_version": version_id}
    if not version.implicit_creator:
        base["creator"] = room.owner
    room.add("m.room.create", {**base, **create})
    room.add("m.room.member", {"membership": "join"}, state_key=room.owner)
    room.add("m.room.power_levels", {"users": {room.owner: 100}, **levels})
    room.add("m.room.join_rules", {"join_rule": "public"})
    room.serve()
    return room


async def read_everything(client: Client, room_id: str) -> None:
    """All that looks into the state of a room."""
    room = f"/v3/rooms/{quote(room_id)}"
    for path in (
        "/v3/sync",
        f"{room}/state",
        f"{room}/members",
        f"{room}/joined_members",
        f"{room}/initialSync",
        f"{room}/messages?dir=b",
        f"/v1/rooms/{quote(room_id)}/hierarchy",
        f"/v1/room_summary/{quote(room_id)}",
    ):
        response = await client.get(path)
        assert response.status == 200, (path, response.body)


async def use(client: Client, room: HostedRoom, note: object) -> None:
    """Join a room, speak in it, read it, leave it."""
    joined = await join(client, room.id, FAR)
    assert joined.status == 200, (note, joined.body)
    await send(client, room.id)
    await read_everything(client, room.id)
    assert (await leave(client, room.id)).status == 200
    assert (await client.get("/v3/sync")).status == 200


@pytest.mark.parametrize("key", ["predecessor", "m.federate", "type", "creator"])
async def test_a_create_event_of_odd_types_makes_a_room(
    bob: Client, remote: Remote, key: str
) -> None:
    """`predecessor` or `m.federate` a text, say: nothing depends on them."""
    for number, value in enumerate(ODD):
        name = f"r{number}"
        room = odd_room(remote, name, "11", create={key: value}, levels={})

        await use(bob, room, value)


LEVELS: dict[str, tuple[str, Json]] = {
    "texts": ("9", {"invite": "50", "events": {"m.room.name": "50"}}),
    "padded texts": ("9", {"users_default": " 7 ", "events_default": "+0"}),
    "text of a user": ("9", {"users": {"@owner:far.test": "100"}}),
    "floats": ("5", {"invite": 50.5, "events": {"m.room.name": 1.5}}),
    "huge": ("5", {"ban": 10**18}),
}


@pytest.mark.parametrize("name", LEVELS)
async def test_power_levels_of_odd_types_break_no_room(
    bob: Client, remote: Remote, name: str
) -> None:
    """Those that old room versions put up with."""
    version_id, levels = LEVELS[name]
    room = odd_room(remote, "levels", version_id, create={}, levels=levels)

    await use(bob, room, name)


REJECTED_LEVELS: dict[str, tuple[str, Json]] = {
    "users a list": ("9", {"users": []}),
    "odd objects": ("9", {"events": 7, "notifications": []}),
    "users of no users": ("9", {"users": {"owner": 100}}),
    "texts": ("10", {"invite": "50"}),
    "text of a user": ("10", {"users": {"@owner:far.test": "100"}}),
}


@pytest.mark.parametrize("name", REJECTED_LEVELS)
async def test_power_levels_that_are_rejected_are_no_ground_to_join_on(
    bob: Client, two: Server, remote: Remote, name: str
) -> None:
    version_id, levels = REJECTED_LEVELS[name]
    room = odd_room(remote, "levels", version_id, create={}, levels=levels)

    assert error_of(await join(bob, room.id, FAR)) == (502, "M_UNKNOWN")

    assert await stored_rooms(two) == []
    assert (await bob.get("/v3/sync")).status == 200
