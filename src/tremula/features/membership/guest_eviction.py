"""Makes guests leave rooms that no longer let them in (CS module "Guest Access")."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Final

import structlog
from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.infra.duties import Duties
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    UserId,
    server_of,
)
from tremula.rooms.events import Draft, PersistedEvent
from tremula.rooms.reader import RoomReader
from tremula.rooms.room import EVENT_TOPIC
from tremula.rooms.rooms import Rooms
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView

GUEST_ACCESS: Final = "m.room.guest_access"

GuestsAmong = Callable[[Sequence[UserId]], Awaitable[Sequence[UserId]]]
"""Those of some users who are guests."""

_log = structlog.get_logger(__name__)


def admits_guests(view: RoomView) -> bool:
    """Whether guests may be in the room; not without a state event that says so."""
    return _lets_guests_in(view.content_of(GUEST_ACCESS) or {})


def _lets_guests_in(content: Mapping[str, Any]) -> bool:
    return content.get("guest_access") == "can_join"


class _MayShutOut(Struct, frozen=True):
    """The event of a room that may have shut its guests out."""

    room_id: RoomId
    event_id: EventId


class GuestEviction:
    """A background task; ``run`` is meant for the supervisor.

    The holder of the room's slot does it. A room whose guests were not all gone when
    the server stopped keeps them until its guest access changes again.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        rooms: Rooms,
        reader: RoomReader,
        guests_among: GuestsAmong,
        server_name: ServerName,
        slots: Slots,
        clock: Clock,
    ) -> None:
        self._rooms = rooms
        self._reader = reader
        self._guests_among = guests_among
        self._server_name = server_name
        self._duties = Duties(slots, clock, self._evict)
        journal.subscribe(EVENT_TOPIC, self._on_event)

    async def run(self) -> None:
        """Make guests leave for ever."""
        await self._duties.run()

    def _on_event(self, _pos: int, _key: Hashable, payload: object) -> None:
        assert isinstance(payload, PersistedEvent)
        if payload.stored.type == GUEST_ACCESS:
            if _lets_guests_in(payload.stored.content):
                return
            changed = payload.stored.event_id
        elif payload.redacts is not None:
            changed = payload.redacts
        else:
            return
        room_id = payload.room_id
        self._duties.note(room_id, room_id, _MayShutOut(room_id, changed))

    async def _evict(self, change: _MayShutOut) -> None:
        room_id = change.room_id
        view = await self._reader.get_room(room_id)
        current = view.state.get((GUEST_ACCESS, ""))
        if (
            current is None
            or current.event_id != change.event_id
            or admits_guests(view)
        ):
            return
        ours = [u for u in view.joined_members() if server_of(u) == self._server_name]
        for guest in await self._guests_among(ours):
            leave = Draft(
                type=MEMBER,
                sender=guest,
                content={"membership": "leave"},
                state_key=guest,
            )
            try:
                await self._rooms.append(room_id, [leave])
            except MatrixError as error:
                _log.info("guest_not_evicted", user_id=guest, reason=error.message)
