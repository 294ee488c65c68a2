"""Makes a room's successor, where the room's slot is held."""

from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import Struct

from tremula.features.membership.service import MemberFields
from tremula.features.room_upgrades.orphans import Orphans
from tremula.features.room_upgrades.plan import (
    MADE_WITH,
    TOMBSTONE,
    Successor,
    Upgrade,
    successor_events,
)
from tremula.infra.locks import KeyedLocks
from tremula.infra.slots import CallTypes, Slots
from tremula.protocol.errors import Forbidden, MatrixError
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.power_levels import lack_of_power
from tremula.protocol.room_versions import RoomVersion, get_room_version
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import Draft
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.view import RoomView

_SLOT_KIND: Final = "room_upgrade"
_CARRIED_AT_ONCE: Final = 100

_log = structlog.get_logger(__name__)


class WantedUpgrade(Struct, frozen=True):
    """What somebody asks for: the creators are those beside them."""

    user_id: UserId
    version_id: str
    additional_creators: tuple[UserId, ...] = ()


class MakeSuccessor(Struct, frozen=True):
    """The command that travels to the owner of a room's slot; which tombstone the room
    had when it was given, if any.
    """

    wanted: WantedUpgrade
    tombstone_id: EventId | None


class Successors:
    """Makes successors of rooms: one for all who ask at the same time.

    With a large room it takes its time: a client that gave up waiting and asks for the
    same again is given the same successor, whichever process it asks.
    """

    def __init__(
        self,
        *,
        rooms: Rooms,
        reader: RoomReader,
        events: EventStore,
        member_fields: MemberFields,
        orphans: Orphans,
        slots: Slots,
    ) -> None:
        self._rooms = rooms
        self._reader = reader
        self._events = events
        self._member_fields = member_fields
        self._orphans = orphans
        self._slots = slots
        self._turns: KeyedLocks[str] = KeyedLocks()
        slots.register(_SLOT_KIND, self._do, CallTypes(MakeSuccessor, RoomId))

    async def make(self, room_id: RoomId, wanted: WantedUpgrade) -> RoomId:
        """Make the successor of a room, and have the room name it.

        Raises:
            Forbidden: the user may not send a tombstone to the room.
        """
        room = await self._reader.get_joined(room_id, wanted.user_id)
        command = MakeSuccessor(wanted, _tombstone_id(room))
        successor_id: RoomId = await self._slots.call(_SLOT_KIND, room_id, command)
        return successor_id

    async def _do(self, room_id: str, command: MakeSuccessor) -> RoomId:
        wanted = command.wanted
        async with self._turns.of(room_id):
            old = await self._reader.get_joined(RoomId(room_id), wanted.user_id)
            if _tombstone_id(old) != command.tombstone_id:
                made = await self._find_successor(old)
                if made is not None and made.version.id == wanted.version_id:
                    return made.room_id
            _check_power(old, wanted.user_id)
            return await self._succeed(old, wanted)

    async def _find_successor(self, old: RoomView) -> RoomView | None:
        successor_id = (old.content_of(TOMBSTONE) or {}).get("replacement_room")
        if not isinstance(successor_id, str):
            return None
        return await self._reader.find_room(RoomId(successor_id))

    async def _succeed(self, old: RoomView, wanted: WantedUpgrade) -> RoomId:
        version = get_room_version(wanted.version_id)
        newest = await self._events.backwards(old.nid, limit=1)
        upgrade = Upgrade(
            old=old,
            version=version,
            creator=wanted.user_id,
            fields=await self._member_fields(wanted.user_id),
            additional_creators=tuple(dict.fromkeys(wanted.additional_creators)),
            last_event_id=newest[0].event_id,
        )
        successor_id = await self._finish(upgrade)
        if successor_id is None:
            successor_id = await self._make(version, successor_events(upgrade))
        tombstone = {
            "body": "This room has been replaced",
            "replacement_room": successor_id,
        }
        draft = Draft(TOMBSTONE, wanted.user_id, tombstone, "")
        await self._rooms.append(old.room_id, [draft])
        return successor_id

    async def _make(self, version: RoomVersion, events: Successor) -> RoomId:
        successor_id = await self._rooms.create(version, events.first)
        await self._carry_over(successor_id, events.carried)
        if events.last:
            await self._rooms.append(successor_id, events.last)
        return successor_id

    async def _finish(self, upgrade: Upgrade) -> RoomId | None:
        """The successor that this upgrade had made, and not yet named, when the server
        went down; brought up to date, if it can be.
        """
        orphan = await self._orphans.find(upgrade)
        if orphan is None:
            return None
        events = successor_events(upgrade)
        missing = [
            draft
            for draft in events.carried
            if (draft.type, draft.state_key or "") not in orphan.state
        ]
        try:
            for draft in events.first[MADE_WITH:]:
                await self._rooms.append(orphan.room_id, [draft])
            await self._carry_over(orphan.room_id, missing)
            for draft in events.last:
                await self._rooms.append(orphan.room_id, [draft])
        except MatrixError as error:
            _log.info("orphan_not_finished", reason=error.message)
            return None
        return orphan.room_id

    async def _carry_over(self, successor_id: RoomId, drafts: Sequence[Draft]) -> None:
        for start in range(0, len(drafts), _CARRIED_AT_ONCE):
            part = drafts[start : start + _CARRIED_AT_ONCE]
            await self._rooms.append(successor_id, part)


def _check_power(room: RoomView, user_id: UserId) -> None:
    levels = room.power_levels
    level, needed = levels.user(user_id), levels.event(TOMBSTONE, is_state=True)
    if level < needed:
        raise Forbidden(lack_of_power(needed, level, "upgrade this room"))


def _tombstone_id(room: RoomView) -> EventId | None:
    event = room.state.get((TOMBSTONE, ""))
    return None if event is None else event.event_id
