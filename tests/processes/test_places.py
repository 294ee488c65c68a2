"""Places that another process has shown, and this one has not come to yet."""

import copy

from tests.processes.servers import Servers
from tremula.protocol.identifiers import UserId
from tremula.rooms.places import Places
from tremula.rooms.tokens import format_place

ALICE = UserId("@alice:example.org")


async def test_a_place_that_another_process_has_shown_is_waited_for(
    servers: Servers,
) -> None:
    one, other = servers.both
    room_id = await one.create_room(ALICE)
    await servers.heard()
    view = await other.reader.get_room(room_id)
    behind = copy.copy(view)
    behind.room_pos -= 1
    places = Places(other.database, other.journal)
    shown = format_place(view.room_pos)

    assert await places.was_ahead(behind, shown)
    assert not await places.was_ahead(view, shown)
    # What nobody can have shown is not waited for.
    assert not await places.was_ahead(view, format_place(view.room_pos + 1))
