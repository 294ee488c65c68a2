"""Ephemeral events in `/sync`."""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from tremula.features.ephemeral_events.service import (
    TOPIC,
    EphemeralEvent,
    EphemeralEvents,
)
from tremula.features.sync.parts import RoomRef, RoomSection, SyncContext


class EphemeralEventsPart(Struct, frozen=True):
    """What came in each room in the last two minutes. Costs the rooms that have any."""

    ephemeral: EphemeralEvents
    section: RoomSection = RoomSection.EPHEMERAL
    topics: Collection[str] = (TOPIC,)

    async def changed_rooms(self, ctx: SyncContext, since: int) -> Collection[int]:
        """Joined rooms with an event since."""
        return self.ephemeral.rooms_after(since) & ctx.joined_rooms.keys()

    async def room_events(
        self, ctx: SyncContext, rooms: Sequence[RoomRef], since: int
    ) -> Mapping[int, Sequence[bytes]]:
        """The events of *rooms* that the filter lets through."""
        wanted = ctx.filter.room.ephemeral
        found: dict[int, Sequence[bytes]] = {}
        for room in rooms:
            events = self.ephemeral.after(room.nid, since, up_to=ctx.now)
            shown = [each.event_json for each in events if _is_shown(ctx, each)]
            if shown and wanted.rooms.admits(room.room_id):
                found[room.nid] = shown
        return found


def _is_shown(ctx: SyncContext, event: EphemeralEvent) -> bool:
    wanted = ctx.filter.room.ephemeral.events
    return (
        event.sender not in ctx.ignored_users
        and wanted.admits_type(event.type)
        and wanted.admits_sender(event.sender)
    )
