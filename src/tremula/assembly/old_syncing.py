"""Builds what was before `/sync`."""

from tremula.assembly.base import Base, Engine
from tremula.assembly.rooms import RoomFeatures
from tremula.features.old_sync import routes as old_sync_routes
from tremula.features.old_sync.peeking import Peeking
from tremula.features.old_sync.service import OldSync
from tremula.features.sync.service import Sync


def add_old_sync(base: Base, engine: Engine, rooms: RoomFeatures, sync: Sync) -> None:
    """The deprecated endpoints, which all rest upon others."""
    old_sync = OldSync(
        sync,
        rooms.history,
        rooms.previews,
        Peeking(base.journal),
        engine.events,
        engine.reader,
    )
    base.router.add(old_sync_routes, old_sync)
