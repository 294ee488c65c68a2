"""The aliases that a room names itself: its ``m.room.canonical_alias``."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.infra.db import Conflict
from tremula.infra.journal import Journal
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import BadState
from tremula.protocol.identifiers import EventId, RoomAlias, RoomId, UserId
from tremula.rooms.events import Draft
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.view import RoomView

CANONICAL_ALIAS: Final = "m.room.canonical_alias"

Decide = Callable[[RoomView], Awaitable[Draft | None]]
"""What is to be sent to a room as it is now, if anything."""


class CanonicalAliases(Struct, frozen=True):
    """Changes them by what they are: no change of others at the same time is lost."""

    journal: Journal
    reader: RoomReader
    rooms: Rooms

    async def change(self, room_id: RoomId, decide: Decide) -> EventId | None:
        """Send what *decide* says; it is asked again if another was faster.

        Raises:
            NotFound: this server knows no such room.
            MatrixError: the room, or *decide*, refuses it.
        """
        return await reread_on_conflict(lambda: self._change(room_id, decide))

    async def _change(self, room_id: RoomId, decide: Decide) -> EventId | None:
        await self.journal.settled()
        view = await self.reader.get_room(room_id)
        current = view.state.get((CANONICAL_ALIAS, ""))
        draft = await decide(view)
        if draft is None:
            return None
        draft = replace(draft, replaces=current.event_id if current else None)
        try:
            [event_id] = await self.rooms.append(room_id, [draft])
        except BadState as error:
            raise Conflict(error.message) from error
        return event_id

    async def leave_out(
        self, room_id: RoomId, alias: RoomAlias, *, user_id: UserId
    ) -> None:
        """Have a room name *alias* no more, if *user_id* may do that.

        CS deleteRoomAlias: succeed "even if the user does not have permission to update
        the `m.room.canonical_alias` event".
        """

        async def decide(view: RoomView) -> Draft | None:
            before = view.content_of(CANONICAL_ALIAS) or {}
            after = _without(before, alias)
            if after == before or not may_set_canonical_alias(user_id, view):
                return None
            return Draft(CANONICAL_ALIAS, user_id, after, "")

        await self.change(room_id, decide)


def may_set_canonical_alias(user_id: UserId, view: RoomView) -> bool:
    """Whether *user_id* may say which aliases a room has."""
    return view.is_joined(user_id) and view.power_levels.can_send(
        user_id, CANONICAL_ALIAS, is_state=True
    )


def _without(content: dict[str, Any], alias: RoomAlias) -> dict[str, Any]:
    """The content of ``m.room.canonical_alias`` without one of its aliases."""
    remaining = dict(content)
    if remaining.get("alias") == alias:
        del remaining["alias"]
    alternatives = remaining.get("alt_aliases")
    if isinstance(alternatives, list) and alias in alternatives:
        remaining["alt_aliases"] = [alt for alt in alternatives if alt != alias]
    return remaining
