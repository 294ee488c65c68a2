"""Presence in `/sync`: of the people with whom the user shares a room."""

from collections.abc import Collection, Iterable
from typing import Final

import orjson
from msgspec import Struct

from tremula.features.presence.audience import Audience
from tremula.features.presence.service import TOPIC, Presence
from tremula.features.profiles.service import Profiles
from tremula.features.sync.parts import SyncContext
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.memberships import TOPIC as MEMBERSHIP_TOPIC
from tremula.rooms.reader import RoomReader
from tremula.rooms.storage import UserRoom

_EVENT_TYPE: Final = "m.presence"
# More are left out.
_EVENTS_MAX: Final = 1_000


class PresencePart(Struct, frozen=True):
    """The ``presence`` of the answer."""

    journal: Journal
    presence: Presence
    profiles: Profiles
    audience: Audience
    reader: RoomReader
    key: str = "presence"
    topics: Collection[str] = (TOPIC, MEMBERSHIP_TOPIC)

    async def user_section(self, ctx: SyncContext, since: int) -> bytes | None:
        """Whose presence has changed; on an initial sync, who is not offline."""
        wanted = ctx.filter.presence
        if not self.presence.enabled or not wanted.admits_type(_EVENT_TYPE):
            return None
        limit = min(wanted.limit or _EVENTS_MAX, _EVENTS_MAX)
        shown: list[UserId] = []
        for user_id in await self._candidates(ctx, since):
            if len(shown) >= limit:
                break
            if (
                user_id not in ctx.ignored_users
                and wanted.admits_sender(user_id)
                and await self._may_see(ctx, user_id)
            ):
                shown.append(user_id)
        if not shown:
            return None
        return b'{"events":[%b]}' % b",".join(await self._events(shown))

    async def _candidates(self, ctx: SyncContext, since: int) -> Iterable[UserId]:
        changed = self.journal.changed_keys(TOPIC, since) if since else None
        if changed is None:
            return [*self.presence.live_users, *self.presence.remote.users]
        found = {UserId(key) for key in changed if isinstance(key, str)}
        for room_id in self._joined_since(ctx, since):
            view = await self.reader.find_room(room_id)
            if view is not None:
                members = view.joined_members()
                found |= self.presence.live_users & members
                found |= self.presence.remote.users & members
        return found

    async def _may_see(self, ctx: SyncContext, user_id: UserId) -> bool:
        rooms = self.presence.remote.room_nids(user_id)
        if rooms:
            return not rooms.isdisjoint(ctx.joined_rooms)
        return await self.audience.may_see(ctx.user_id, user_id)

    def _joined_since(self, ctx: SyncContext, since: int) -> Iterable[RoomId]:
        """Rooms of whose members the user has seen nothing so far."""
        if self.journal.changed_pos(MEMBERSHIP_TOPIC, ctx.user_id) <= since:
            return ()
        news = self.journal.tail(MEMBERSHIP_TOPIC, ctx.user_id, since) or ()
        rooms = [room for _, room in news if isinstance(room, UserRoom)]
        return {room.room_id for room in rooms if room.room_nid in ctx.joined_rooms}

    async def _events(self, user_ids: list[UserId]) -> list[bytes]:
        contents = await self.presence.contents(user_ids)
        events = []
        for user_id in user_ids:
            profile = await self.profiles.member_fields(user_id)
            event = {
                "type": _EVENT_TYPE,
                "sender": user_id,
                "content": {**contents[user_id], **profile},
            }
            events.append(orjson.dumps(event))
        return events
