"""What another server sends: signed events in transactions of fifty."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from typing import Final

from bench.client import User, check, until
from bench.federation.handwritten import Handwritten, Letter
from bench.federation.signed_room import VERSION, SignedEvent, SignedRoom
from bench.processes import measured
from bench.scenarios.subject import Metrics, Place, Sent, Subject, new_text
from tremula.protocol.identifiers import EventId, RoomId, ServerName

_PDUS_MAX: Final = 50
_PATIENCE_S: Final = 600
# Asking has a cost, too.
_PAUSE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class InboundPdus:
    """Messages to some rooms in turn, until they can be read."""

    rooms: int
    pdus: int

    async def run(self, subject: Subject, sender: Handwritten) -> Metrics:
        """Have *sender* send them to *subject*, one transaction at a time.

        Raises:
            WrongAnswer: one of them is not taken in.
        """
        reader = await subject.homeserver.register()
        traffic = _Traffic(sender, subject.server.server_name, reader)
        for _ in range(self.rooms):
            await traffic.enter_new_room()
        await traffic.deliver(traffic.sign(_PDUS_MAX))
        letters = traffic.sign(self.pdus)
        async with measured(subject.processes) as usage:
            await traffic.deliver(letters)
        await traffic.verify()
        return usage.cpu_ms_per(self.pdus) | {"per_s": self.pdus / usage.wall_s}


@dataclass(frozen=True, slots=True)
class _Transaction:
    """A signed request, and the last of the events in it."""

    letter: Letter
    room_id: RoomId
    event_id: EventId


@dataclass(slots=True)
class _Traffic:
    """A user of *sender* in rooms of *reader*, who is a user of *receiver*."""

    sender: Handwritten
    receiver: ServerName
    reader: User
    _rooms: list[SignedRoom] = field(default_factory=list)
    _sent: Sent = field(default_factory=Sent)
    _txn_ids: Iterator[int] = field(default_factory=count)

    @property
    def _user_id(self) -> str:
        return f"@writer:{self.sender.name}"

    async def enter_new_room(self) -> None:
        room_id = await self.reader.create_room(room_version=VERSION.id)
        room = await self.sender.join(self.receiver, room_id, self._user_id)
        self._rooms.append(room)

    def sign(self, number: int) -> list[_Transaction]:
        """Transactions with so many messages in all."""
        rooms = islice(cycle(self._rooms), number)
        return [
            self._transaction(portion)
            for portion in iter(lambda: list(islice(rooms, _PDUS_MAX)), [])
        ]

    def _transaction(self, rooms: Sequence[SignedRoom]) -> _Transaction:
        # No two runs have the same: a receiver knows them by the sender's name.
        txn_id = f"{self.reader.device_id}-{next(self._txn_ids)}"
        events = [self._message(room) for room in rooms]
        letter = self.sender.transaction(self.receiver, txn_id, events)
        return _Transaction(letter, rooms[-1].room_id, events[-1].event_id)

    def _message(self, room: SignedRoom) -> SignedEvent:
        text = new_text()
        event = room.message(self._user_id, text)
        self._sent.by_room[room.room_id][event.event_id] = text
        return event

    async def deliver(self, transactions: Sequence[_Transaction]) -> None:
        """Send one after the other.

        Each waits until the one before can be read: Synapse answers before it takes
        events in, and drops those of a room if more than a hundred wait.
        """
        async with asyncio.timeout(_PATIENCE_S):
            for each in transactions:
                answer = await self.sender.post(each.letter)
                refused = [result for result in answer["pdus"].values() if result]
                check(not refused, f"refused: {refused[:1]}")
                await self._until_shown(each.room_id, each.event_id)

    async def _until_shown(self, room_id: RoomId, event_id: EventId) -> None:
        async def is_newest() -> bool:
            return await self.reader.newest(room_id) == event_id

        await until(is_newest, pause_s=_PAUSE_S)

    async def verify(self) -> None:
        """All are there, each once and unchanged.

        Raises:
            WrongAnswer: they are not.
        """
        for room in self._rooms:
            await self._until_shown(room.room_id, room.heads[0])
            await self._sent.verify(Place(self.reader, room.room_id))
