"""What other servers are to be sent, stored in the unit of its cause."""

from collections.abc import Collection

from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.infra.db import Unit
from tremula.infra.federation import outbox_storage as storage
from tremula.infra.federation.destination import Entry
from tremula.protocol.identifiers import ServerName


class Outbox(Struct, frozen=True):
    """Events for all other servers in a room, and who those are from when to when.

    Stored together with what they tell of, by whoever writes to the room: so nothing
    has to be found again after a crash, and no two processes store the same.
    """

    clock: Clock

    def add(self, unit: Unit, entry: Entry, *, room_nid: int) -> None:
        """Send an event to the servers that are in the room at its position."""
        storage.insert_entry(unit, entry, room_nid=room_nid, ts_ms=self.clock.now_ms())

    def servers_changed(
        self,
        unit: Unit,
        room_nid: int,
        *,
        come: Collection[ServerName],
        gone: Collection[ServerName],
        pos: int,
    ) -> None:
        """Servers have come into a room, or have left it, at a journal position.

        Nothing happens to those that were there already, or were not.
        """
        storage.upsert_servers(unit, room_nid, come, joined_pos=pos)
        storage.update_servers_left(unit, room_nid, gone, left_pos=pos)
