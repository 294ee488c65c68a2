"""The events in the outbox as PDUs."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct, field

from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.event_store import EventStore
from tremula.rooms.reader import RoomReader
from tremula.rooms.staging import OwnServer
from tremula.rooms.wire import signed_pdu

_VERSIONS_MAX: Final = 10_000


class OutboxPdus(Struct, frozen=True):
    """Implements the queues' `PduReader`. One query for events that are in memory."""

    reader: RoomReader
    events: EventStore
    own: OwnServer
    # By room nid; a room never changes its version.
    _versions: dict[int, RoomVersion] = field(default_factory=dict)

    async def pdus(self, event_nids: Sequence[int]) -> list[dict[str, Any]]:
        """The events as PDUs, in this order; those that are gone are left out."""
        if not event_nids:
            return []
        found = await self.events.by_nids(event_nids)
        server_json = await self.events.server_json(list(found))
        await self._learn_versions({each.room_nid for each in found.values()})
        return [
            signed_pdu(
                self._versions[found[nid].room_nid],
                found[nid].client_json,
                server_json[nid],
                self.own,
            )
            for nid in event_nids
            if nid in found and found[nid].room_nid in self._versions
        ]

    async def _learn_versions(self, room_nids: set[int]) -> None:
        unknown = room_nids - self._versions.keys()
        if not unknown:
            return
        if len(self._versions) >= _VERSIONS_MAX:
            self._versions.clear()
            unknown = room_nids
        for nid, room_id in (await self.reader.room_ids(unknown)).items():
            view = await self.reader.find_room(room_id)
            if view is not None:
                self._versions[nid] = view.version
