"""Events of other servers notify our users as any others do."""

import pytest

from tests.conftest import DatabaseSource
from tests.features.push.notifying import read, unread
from tests.features.rooms import create_room, set_state
from tests.federation.network import Federation
from tests.federation.remote import Remote, add_remote
from tests.federation.rooms import RemoteRoom, send
from tests.server import Server
from tremula.protocol.events import BuiltEvent
from tremula.protocol.identifiers import RoomId

ALICE, BOB = "@alice:a.test", "@bob:far.test"
MESSAGE = "m.room.message"


@pytest.fixture
async def server(database_source: DatabaseSource, federation: Federation) -> Server:
    return await federation.start("a.test", database_source)


@pytest.fixture
async def room(server: Server, federation: Federation) -> RemoteRoom:
    remote: Remote = add_remote(federation, "far.test")
    room_id = await create_room(server.client(ALICE), preset="public_chat")
    room = RemoteRoom(server, remote, RoomId(room_id))
    await room.join(BOB)
    return room


async def deliver(room: RemoteRoom, *events: BuiltEvent) -> None:
    """Have the other server send events."""
    pdus = [await room.pdu(each) for each in events]
    response = await send(room.server, room.remote, pdus)
    assert response.status == 200, response.body


async def test_what_comes_in_is_counted(server: Server, room: RemoteRoom) -> None:
    alice = server.client(ALICE)
    content = {"body": "hello", "m.mentions": {"user_ids": [ALICE]}}
    first = await room.build(BOB, MESSAGE, {"body": "hello"})
    second = await room.build(BOB, MESSAGE, content, after=first)
    await deliver(room, first, second)
    assert await unread(alice, room.room_id) == (2, 1)

    await read(alice, room.room_id, first.event.event_id)

    assert await unread(alice, room.room_id) == (1, 1)


async def test_what_is_not_shown_is_not_counted(
    server: Server, room: RemoteRoom
) -> None:
    """The sender may not send any more, and says that it was before (soft-failed)."""
    alice = server.client(ALICE)
    late = await room.build(BOB, MESSAGE, {"body": "hello"})
    levels = {"events_default": 50}
    assert (
        await set_state(alice, room.room_id, "m.room.power_levels", levels)
    ).status == 200

    await deliver(room, late)

    assert await unread(alice, room.room_id) == (0, 0)
