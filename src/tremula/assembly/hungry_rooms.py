"""Builds what bridges do in rooms that don't federate."""

from tremula.assembly.base import Base, Engine
from tremula.features.hungry_rooms import routes as hungry_rooms_routes
from tremula.features.hungry_rooms import yeet_routes
from tremula.features.hungry_rooms.authority import Authority
from tremula.features.hungry_rooms.service import HungryRooms
from tremula.features.receipts.service import Receipts
from tremula.features.room_creation import merging_routes
from tremula.features.room_creation.merging import Merging
from tremula.features.room_creation.service import RoomCreation
from tremula.features.room_deletions.service import RoomDeletions


def add_hungry_rooms(
    base: Base,
    engine: Engine,
    creation: RoomCreation,
    receipts: Receipts,
    deletions: RoomDeletions,
) -> None:
    """Batches of messages, chats that are merged, and rooms that go."""
    authority = Authority(base.appservices, engine.reader, base.server_name)
    hungry_rooms = HungryRooms(authority, engine.batches, receipts, base.slots)
    base.router.add(hungry_rooms_routes, hungry_rooms)
    base.router.add(yeet_routes, yeet_routes.Yeeting(authority, deletions))
    merging = Merging(creation, authority, hungry_rooms, deletions, engine.events)
    base.router.add(merging_routes, merging)
