"""Tells the rooms of a user that displayname or avatar_url have changed.

CS "Events on Change of Profile Information". What is still to be told is stored with
the change itself, so that a restart goes on where the server stopped.
"""

import asyncio
from itertools import islice
from typing import Final

import structlog

from tremula.features.profiles import storage
from tremula.features.profiles.service import TOPIC, Profiles
from tremula.infra.db import Database, Statements
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.events import Draft
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms

# Users whose rooms are told at the same time.
_USERS_AT_ONCE: Final = 8
# Of which those are chosen that are done here.
_LOOKED_AT: Final = 500
_MEMBER: Final = "m.room.member"

_log = structlog.get_logger(__name__)


class ProfilePropagation:
    """A background task; ``run`` is meant for the supervisor.

    The holder of the user's slot does it. Of what was begun elsewhere it does the rest
    again: a member event that says nothing new is not sent.
    """

    def __init__(
        self,
        *,
        db: Database,
        journal: Journal,
        profiles: Profiles,
        memberships: Memberships,
        rooms: Rooms,
        reader: RoomReader,
        slots: Slots,
    ) -> None:
        self._db = db
        self._profiles = profiles
        self._memberships = memberships
        self._rooms = rooms
        self._reader = reader
        self._something_new = asyncio.Event()
        self._slots = slots
        journal.subscribe(TOPIC, lambda *_: self._something_new.set())
        journal.on_forget(self._something_new.set)
        slots.on_taken(lambda _: self._something_new.set())

    async def run(self) -> None:
        """Tell rooms of changes for ever."""
        while True:
            self._something_new.clear()
            while await self.propagate_some():
                pass
            await self._something_new.wait()

    async def propagate_some(self) -> bool:
        """Tell the rooms of the users who wait longest; whether there were any."""
        found = await storage.propagations(self._db, limit=_LOOKED_AT)
        ours = (each for each in found if self._slots.holds(each[0]))
        waiting = list(islice(ours, _USERS_AT_ONCE))
        async with asyncio.TaskGroup() as group:
            for user_id, pos in waiting:
                group.create_task(self._propagate(user_id, pos=pos))
        return bool(waiting)

    async def _propagate(self, user_id: UserId, *, pos: int) -> None:
        memberships = await self._memberships.of_user(user_id)
        joined = [r.room_id for r in memberships.values() if r.membership == "join"]
        fields = await self._profiles.member_fields(user_id)
        for room_id in joined:
            try:
                await self._update_member(room_id, user_id, fields)
            except MatrixError as error:
                _log.warning(
                    "profile_not_propagated",
                    user_id=user_id,
                    room_id=room_id,
                    error=error.message,
                )
        unit = Statements(lease=self._slots.lease(user_id))
        storage.finish_propagation(unit, user_id, pos=pos)
        await self._db.commit(unit)

    async def _update_member(
        self, room_id: RoomId, user_id: UserId, fields: dict[str, str]
    ) -> None:
        view = await self._reader.get_room(room_id)
        member = view.state.get((_MEMBER, user_id))
        if member is None or not view.is_joined(user_id):
            return
        draft = Draft(
            type=_MEMBER,
            sender=user_id,
            state_key=user_id,
            content={"membership": "join", **fields},
            # Whoever leaves at this moment must not be joined again.
            replaces=member.event_id,
        )
        await self._rooms.append(room_id, [draft])
