"""Fetches the rest of the states of rooms that were joined without their members."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import Struct, field

from tremula.infra.slots import CallTypes, Slots
from tremula.infra.supervisor import Supervisor
from tremula.protocol.identifiers import RoomId, ServerName
from tremula.rooms.peers import PeerFailed
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms

log = structlog.get_logger(__name__)

# Rooms whose states are in memory at the same time.
_AT_ONCE: Final = 3
# Servers that are asked before a pause.
_ASKED_MAX: Final = 10
_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 600.0
_SLOT_KIND: Final = "state_completion"


class StateCompletion(Struct, frozen=True):
    """One task a room that lacks a part of its state, until it has all of it, where the
    slot of the room is held.

    Which rooms those are is stored, so that a restart goes on with them.
    """

    rooms: Rooms
    reader: RoomReader
    supervisor: Supervisor
    slots: Slots
    own: ServerName
    _under_way: set[RoomId] = field(default_factory=set[RoomId])
    _turns: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_AT_ONCE)
    )

    def __post_init__(self) -> None:
        self.slots.register(_SLOT_KIND, self._begin, CallTypes(None, None))

    async def resume(self) -> None:
        """Go on where another run has ended, here or in another process."""
        for room_id in await self.reader.partial_rooms():
            if self.slots.holds(room_id):
                await self._begin(room_id, None)

    async def begin(self, room_id: RoomId) -> None:
        """Complete the state of a room in the background."""
        await self.slots.call(_SLOT_KIND, room_id, None)

    async def _begin(self, key: str, _command: None) -> None:
        room_id = RoomId(key)
        if room_id not in self._under_way:
            self._under_way.add(room_id)
            self.supervisor.keep_running(
                "state_completion", lambda: self._complete(room_id)
            )

    async def _complete(self, room_id: RoomId) -> None:
        rounds = 0
        while self.slots.holds(room_id) and not await self._is_done(room_id):
            if rounds:
                pause_s = _FIRST_PAUSE_S * 2 ** min(rounds - 1, 10)
                await asyncio.sleep(min(pause_s, _LONGEST_PAUSE_S))
            await self._ask(room_id, rounds)
            rounds += 1
        self._under_way.discard(room_id)

    async def _is_done(self, room_id: RoomId) -> bool:
        """Whether nothing is missing, or nobody here wants to know any more."""
        view = await self.reader.find_room(room_id)
        if view is None or self.own not in view.joined_servers:
            return True
        return view.partial is None and room_id not in await self.reader.partial_rooms()

    async def _ask(self, room_id: RoomId, rounds: int) -> None:
        """Ask some servers in turn until one of them helps."""
        view = await self.reader.get_room(room_id)
        servers = view.partial.servers if view.partial else (self.own,)
        for server in _turn(servers, rounds):
            try:
                async with self._turns:
                    await self.rooms.complete(room_id, server)
            except PeerFailed as error:
                log.info(
                    "state_not_had", room_id=room_id, server=server, reason=str(error)
                )
            else:
                return


def _turn(servers: Sequence[ServerName], rounds: int) -> list[ServerName]:
    """Whom to ask in a round: the first server, which has told the rest, and others
    than in the round before.
    """
    first, *others = servers
    count = _ASKED_MAX - 1
    start = rounds * count % max(len(others), 1)
    return [first, *(others[start:] + others[:start])[:count]]
