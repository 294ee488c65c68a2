"""Members who are put out of rooms, and let in again (CS "Room membership")."""

from collections.abc import Collection
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.infra.db import Conflict
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import BadState, Forbidden
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.room_state import member_key
from tremula.rooms.events import Draft
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.state import MEMBER

_KICKABLE: Final = frozenset({"join", "invite", "knock"})
_BANNED: Final = frozenset({"ban"})


class Removal(Struct, frozen=True):
    """What *sender* wants to do to *target*."""

    sender: UserId
    target: UserId
    room_id: RoomId
    reason: str | None = None

    def draft(self, membership: str) -> Draft:
        """The event that gives the target *membership*."""
        content: dict[str, Any] = {"membership": membership}
        if self.reason is not None:
            content["reason"] = self.reason
        return Draft(MEMBER, self.sender, content, self.target)


class Removals(Struct, frozen=True):
    """Kicks, bans and lifts bans.

    To the rules, kicking and lifting a ban are the same event. So each says what it
    replaces: what others do at the same time is not undone.
    """

    rooms: Rooms
    reader: RoomReader

    async def kick(self, wanted: Removal) -> None:
        """Make the target leave.

        Raises:
            Forbidden: the sender may not kick them, or they are not in the room.
        """
        if not await self._put_out(wanted, _KICKABLE):
            raise Forbidden(f"{wanted.target} is not in the room")

    async def ban(self, wanted: Removal) -> None:
        """Ban the target, whether they are in the room or not.

        Raises:
            Forbidden: the sender may not ban them.
        """
        await self.reader.get_joined(wanted.room_id, wanted.sender)
        await self.rooms.append(wanted.room_id, [wanted.draft("ban")])

    async def unban(self, wanted: Removal) -> None:
        """Lift the ban of the target.

        Raises:
            Forbidden: the sender may not lift it.
            BadState: the target is not banned.
        """
        if not await self._put_out(wanted, _BANNED):
            raise BadState(f"{wanted.target} is not banned")

    async def _put_out(self, wanted: Removal, expected: Collection[str]) -> bool:
        """Have the target leave; False if they are none of what is *expected*."""
        return await reread_on_conflict(lambda: self._try_to(wanted, expected))

    async def _try_to(self, wanted: Removal, expected: Collection[str]) -> bool:
        room_id, target = wanted.room_id, wanted.target
        view = await self.reader.get_joined_with(target, room_id, wanted.sender)
        current = view.state.get(member_key(target))
        if current is None or view.membership(target) not in expected:
            return False
        draft = replace(wanted.draft("leave"), replaces=current.event_id)
        try:
            await self.rooms.append(room_id, [draft])
        except BadState as error:
            raise Conflict(error.message) from error
        return True
