"""What users have set for a room goes with them to its successor.

CS "Room Upgrades": "When a user joins the new room, the server should automatically
transfer/replicate some of the user's personalized settings".
"""

from collections.abc import Hashable, Mapping
from typing import Any, Final

import structlog
from msgspec import Struct

from tremula.features.account_data.service import AccountData
from tremula.features.push.service import PushRules
from tremula.features.room_upgrades.plan import TOMBSTONE
from tremula.infra.clock import Clock
from tremula.infra.duties import Duties
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.room_state import CREATE
from tremula.rooms import memberships
from tremula.rooms.event_store import EventStore
from tremula.rooms.reader import RoomReader
from tremula.rooms.storage import UserRoom
from tremula.rooms.view import RoomView

TAG: Final = "m.tag"
DIRECT: Final = "m.direct"

_log = structlog.get_logger(__name__)


class _MayHaveJoined(Struct, frozen=True):
    """A member event by which a user is joined."""

    user_id: UserId
    room_id: RoomId
    event_nid: int


class PersonalSettings:
    """A background task; ``run`` is meant for the supervisor.

    The holder of the user's slot does it. What a crash keeps from going with its user
    stays with the old room.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        reader: RoomReader,
        events: EventStore,
        account_data: AccountData,
        push_rules: PushRules,
        slots: Slots,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._events = events
        self._account_data = account_data
        self._push_rules = push_rules
        self._duties = Duties(slots, clock, self._follow)
        journal.subscribe(memberships.TOPIC, self._on_membership)

    async def run(self) -> None:
        """Carry over the settings of whoever joins a successor, for ever."""
        await self._duties.run()

    async def carry_over(
        self, user_id: UserId, old: RoomView, successor: RoomView
    ) -> None:
        """Tag the successor as the old room, have both be direct chats if one is, and
        notify of it as of the old room.

        Tags that the successor has, or had before they were removed, stay, and so do
        push rules of its own.
        """
        tags = await self._account_data.find_in_room(user_id, old.nid, TAG)
        try:
            await self._account_data.update_in_room(
                user_id, successor.nid, TAG, lambda mine: mine or tags
            )
            await self._account_data.update(
                user_id,
                DIRECT,
                lambda chats: _with_successor(chats, old.room_id, successor.room_id),
            )
            await self._push_rules.carry_over(user_id, old.room_id, successor.room_id)
        except MatrixError as error:
            _log.info("settings_not_carried_over", reason=error.message)

    def _on_membership(self, _pos: int, user_id: Hashable, room: object) -> None:
        assert isinstance(room, UserRoom)
        if room.membership != "join":
            return
        view = self._reader.find_loaded(room.room_id)
        if view is not None and CREATE in view.state and _claimed_by(view) is None:
            # Like most rooms: it succeeds none.
            return
        join = _MayHaveJoined(UserId(str(user_id)), room.room_id, room.event_nid)
        self._duties.note(join.user_id, (join.user_id, join.room_id), join)

    async def _follow(self, join: _MayHaveJoined) -> None:
        successor = await self._reader.get_room(join.room_id)
        old = await self._predecessor(successor)
        if old is not None and await self._has_joined(join.event_nid):
            await self.carry_over(join.user_id, old, successor)

    async def _predecessor(self, successor: RoomView) -> RoomView | None:
        """The room that names *successor* as its replacement: others may claim it."""
        old_id = _claimed_by(successor)
        if old_id is None:
            return None
        old = await self._reader.find_room(old_id)
        tombstone = (old.content_of(TOMBSTONE) if old else None) or {}
        if tombstone.get("replacement_room") != successor.room_id:
            return None
        return old

    async def _has_joined(self, event_nid: int) -> bool:
        """Whether a member event made its user joined, and not only changed a name."""
        event = await self._events.by_nid(event_nid)
        if event.replaces_nid is None:
            return True
        replaced = await self._events.by_nid(event.replaces_nid)
        return replaced.content.get("membership") != "join"


def _claimed_by(view: RoomView) -> RoomId | None:
    """The room that *view* says it succeeds."""
    claim = view.create.content.get("predecessor")
    old_id = claim.get("room_id") if isinstance(claim, dict) else None
    return RoomId(old_id) if isinstance(old_id, str) else None


def _with_successor(
    chats: Mapping[str, Any], old_id: RoomId, successor_id: RoomId
) -> dict[str, Any]:
    """The content of ``m.direct`` in which both rooms are chats with the same users."""
    return {
        user_id: [*room_ids, successor_id]
        if isinstance(room_ids, list)
        and old_id in room_ids
        and successor_id not in room_ids
        else room_ids
        for user_id, room_ids in chats.items()
    }
