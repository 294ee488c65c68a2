"""Builds what bridges do in rooms that don't federate."""

from tremula.assembly.base import Base, Engine
from tremula.features.hungry_rooms import routes as hungry_rooms_routes
from tremula.features.hungry_rooms.authority import Authority
from tremula.features.hungry_rooms.service import HungryRooms
from tremula.features.receipts.service import Receipts


def add_hungry_rooms(base: Base, engine: Engine, receipts: Receipts) -> None:
    """Batches of messages."""
    authority = Authority(base.appservices, engine.reader, base.server_name)
    hungry_rooms = HungryRooms(authority, engine.batches, receipts, base.slots)
    base.router.add(hungry_rooms_routes, hungry_rooms)
