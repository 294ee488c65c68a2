"""One process tells the rooms of a user; another goes on where it has ended."""

from tests.fakes.slots import HeldSlots, SharedSlots
from tests.features.user_data import ALICE, UserDataServer, create_users
from tremula.features.profiles import storage
from tremula.features.profiles.propagation import ProfilePropagation
from tremula.infra.db import Statements
from tremula.protocol.identifiers import RoomId


def propagation(server: UserDataServer, slots: HeldSlots) -> ProfilePropagation:
    return ProfilePropagation(
        db=server.database,
        journal=server.journal,
        profiles=server.profiles,
        memberships=server.memberships,
        rooms=server.rooms,
        reader=server.reader,
        slots=slots,
    )


async def renamed(server: UserDataServer) -> RoomId:
    """A room of Alice, who has changed her name just now."""
    await create_users(server, [ALICE])
    room_id = await server.create_room(ALICE)
    await server.profiles.set_field(ALICE, "displayname", "Alice L.")
    return room_id


async def newest_pos(server: UserDataServer, room_id: RoomId) -> int:
    return (await server.reader.get_room(room_id)).room_pos


async def test_only_the_holder_tells(user_data: UserDataServer) -> None:
    slots = SharedSlots()
    one, other = slots.process(), slots.process()
    slots.give(other)
    room_id = await renamed(user_data)
    before = await newest_pos(user_data, room_id)

    assert not await propagation(user_data, one).propagate_some()
    assert await newest_pos(user_data, room_id) == before
    assert await propagation(user_data, other).propagate_some()
    assert await newest_pos(user_data, room_id) == before + 1


async def test_who_takes_over_goes_on_and_tells_nothing_twice(
    user_data: UserDataServer,
) -> None:
    """The first has crashed before it could say that all rooms are told."""
    slots = SharedSlots()
    one, other = slots.process(), slots.process()
    slots.give(one)
    room_id = await renamed(user_data)
    [(_, pos)] = await storage.propagations(user_data.database, limit=10)
    await propagation(user_data, one).propagate_some()
    told_pos = await newest_pos(user_data, room_id)
    unit = Statements()
    storage.update_propagation(unit, ALICE, pos=pos)
    await user_data.database.commit(unit)

    slots.give(other)

    assert await propagation(user_data, other).propagate_some()
    assert await newest_pos(user_data, room_id) == told_pos
    assert not await storage.propagations(user_data.database, limit=10)
