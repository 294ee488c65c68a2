"""Typing notifications in `/sync`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from tremula.features.sync.parts import RoomRef, RoomSection, SyncContext
from tremula.features.typing.service import TOPIC, Typing, TypingUsers
from tremula.infra.journal import Journal

_EVENT_TYPE: Final = "m.typing"
_NOBODY: Final = TypingUsers.of(())


class TypingPart(Struct, frozen=True):
    """Who types in each room. Costs what changed, never the number of rooms."""

    journal: Journal
    typing: Typing
    section: RoomSection = RoomSection.EPHEMERAL
    topics: Collection[str] = (TOPIC,)

    async def changed_rooms(self, ctx: SyncContext, since: int) -> Collection[int]:
        """Joined rooms in which somebody has started or stopped."""
        if not since:
            return self.typing.rooms & ctx.joined_rooms.keys()
        changed = self.journal.changed_keys(TOPIC, since)
        if changed is None:
            # From before our start or very long ago: who typed then must be cleared.
            return await self.typing.lately_among(ctx.joined_rooms.keys())
        return [
            nid for nid in changed if isinstance(nid, int) and nid in ctx.joined_rooms
        ]

    async def room_events(
        self, ctx: SyncContext, rooms: Sequence[RoomRef], since: int
    ) -> Mapping[int, Sequence[bytes]]:
        """The ``m.typing`` event of each of *rooms* that has changed."""
        wanted = ctx.filter.room.ephemeral
        if not wanted.events.admits_type(_EVENT_TYPE):
            return {}
        events: dict[int, list[bytes]] = {}
        for room in rooms:
            users = self._changed(room.nid, since)
            if users is not None and wanted.rooms.admits(room.room_id):
                events[room.nid] = [_without(users, ctx).event_json]
        return events

    def _changed(self, room_nid: int, since: int) -> TypingUsers | None:
        users = self.typing.of_room(room_nid)
        if not since:
            return users
        if self.journal.changed_pos(TOPIC, room_nid) <= since:
            return None
        return users or _NOBODY


def _without(users: TypingUsers, ctx: SyncContext) -> TypingUsers:
    """The same without those whom the user ignores."""
    if ctx.ignored_users.isdisjoint(users.user_ids):
        return users
    return TypingUsers.of(
        tuple(user for user in users.user_ids if user not in ctx.ignored_users)
    )
