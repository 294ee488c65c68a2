"""Presence between servers (SS "Presence")."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Struct

from tremula.features.presence.audience import WOKEN_MEMBERS_MAX, Audience, Members
from tremula.features.presence.news import RemoteNews
from tremula.features.presence.service import STATUS_MSG_BYTES_MAX, TOPIC, Presence
from tremula.infra.clock import Clock
from tremula.infra.federation.destination import Edu
from tremula.infra.federation.queues import Queues
from tremula.infra.journal import Journal
from tremula.protocol.errors import BadJson, Forbidden
from tremula.protocol.identifiers import ServerName, UserId, server_of
from tremula.protocol.presence import PresenceState
from tremula.rooms.reader import RoomReader
from tremula.rooms.view import RoomView

EDU_TYPE: Final = "m.presence"

# More in one EDU are left out.
_UPDATES_MAX: Final = 500
_EXPIRES_MS: Final = 5 * 60_000
_AGO_MS_MAX: Final = 2**53 - 1


class PresenceUpdate(msgspec.Struct):
    """One of ``push`` of the ``m.presence`` EDU."""

    user_id: str
    presence: PresenceState
    last_active_ago: Annotated[int, msgspec.Meta(ge=0, le=_AGO_MS_MAX)] = 0
    status_msg: str | None = None
    currently_active: bool = False


class PresenceEdus(Struct, frozen=True):
    """Implements `EduHandler`: who is online on other servers."""

    presence: Presence
    reader: RoomReader
    journal: Journal
    clock: Clock

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Take over what *origin* says of its users who share a room with ours.

        That is told by the rooms in memory, as those of our active users are: soon
        after a start those are few. Nobody waits for news of who is in no such room.

        Raises:
            BadJson: there is no ``push``.
            Forbidden: nothing of it is what *origin* may say.
        """
        push = content.get("push")
        if not isinstance(push, list):
            raise BadJson("push must be an array")
        if not self.presence.enabled:
            return
        shared = [
            view
            for view in self.reader.loaded()
            if origin in view.joined_servers and view.admits(origin)
        ]
        updates = [_parsed(origin, raw) for raw in push[:_UPDATES_MAX]]
        if push and not any(updates):
            raise Forbidden("no presence of users of yours")
        for update in updates:
            if update is not None:
                self._take(update, shared)

    def _take(self, update: PresenceUpdate, shared: Sequence[RoomView]) -> None:
        user_id = UserId(update.user_id)
        rooms = [view for view in shared if view.is_joined(user_id)]
        if not rooms:
            return
        status_msg = update.status_msg
        if status_msg and len(status_msg.encode()) > STATUS_MSG_BYTES_MAX:
            status_msg = None
        news = RemoteNews(
            state=update.presence,
            last_active_ago_ms=update.last_active_ago,
            currently_active=update.currently_active,
            status_msg=status_msg,
            room_nids=frozenset(view.nid for view in rooms),
        )
        small = [v for v in rooms if v.joined_count <= WOKEN_MEMBERS_MAX]
        told = Members.of(small)
        self.journal.ephemeral(
            TOPIC, user_id, news, wake=told, room_nids=told.room_nids
        )


def _parsed(origin: ServerName, raw: object) -> PresenceUpdate | None:
    """What *origin* says of one of its own users."""
    try:
        update = msgspec.convert(raw, PresenceUpdate)
    except msgspec.ValidationError:
        return None
    return update if server_of(update.user_id) == origin else None


class PresenceSender:
    """Tells the servers with which our users share rooms who is online."""

    def __init__(
        self,
        *,
        own: ServerName,
        journal: Journal,
        presence: Presence,
        audience: Audience,
        queues: Queues,
        clock: Clock,
    ) -> None:
        self._own = own
        self._presence = presence
        self._audience = audience
        self._queues = queues
        self._clock = clock
        self._changed: set[UserId] = set()
        self._something_changed = asyncio.Event()
        journal.subscribe(TOPIC, self._presence_changed)

    async def run(self) -> None:
        """Tell for ever; meant for the supervisor."""
        while True:
            await self._something_changed.wait()
            await self.tell_changes()

    async def tell_changes(self) -> None:
        """Tell what has changed so far."""
        self._something_changed.clear()
        changed, self._changed = self._changed, set()
        contents = await self._presence.contents(list(changed))
        for user_id in changed:
            others = await self._audience.servers(user_id) - {self._own}
            if others:
                self._tell(others, user_id, contents[user_id])

    def _tell(
        self, others: set[ServerName], user_id: UserId, content: Mapping[str, Any]
    ) -> None:
        update = {"user_id": user_id, "last_active_ago": 0, **content}
        expires_ms = self._clock.now_ms() + _EXPIRES_MS
        edu = Edu(EDU_TYPE, {"push": [update]}, expires_ms)
        self._queues.send_edu(others, (EDU_TYPE, user_id), edu)

    def _presence_changed(self, _pos: int, user_id: object, _payload: object) -> None:
        assert isinstance(user_id, str)
        if server_of(user_id) == self._own:
            self._changed.add(UserId(user_id))
            self._something_changed.set()
