"""Lists of events in the answers of other servers, verified while they come."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Final

from msgspec import Struct

from tremula.protocol.errors import NotJson
from tremula.protocol.identifiers import EventId, RoomId
from tremula.protocol.json import parse_json_exact
from tremula.protocol.json_stream import ObjectReader, Piece
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.verification import EventVerifier

# A PDU of 64 KiB in which every character is escaped.
_VALUE_BYTES_MAX: Final = 512 * 1024
# How much is looked at in one go.
_FED_BYTES: Final = 64 * 1024
# As many events as have their keys fetched together.
_BATCH: Final = 2000

EventList = dict[EventId, ReceivedEvent]


def _leave(_: Piece, __: object) -> None:
    """What else an answer says does not matter."""


class EventListReader(Struct, frozen=True):
    """Reads events of one room."""

    verifier: EventVerifier
    version: RoomVersion
    room_id: RoomId

    async def read(
        self,
        chunks: AsyncIterator[bytes],
        keys: Collection[str],
        take_other: Callable[[Piece, object], None] = _leave,
    ) -> Mapping[str, EventList]:
        """The events in the lists at *keys* of the object that *chunks* make.

        Events that are no events of the room, or not signed as they have to be, are
        left out. *take_other* is given everything else, with its value.

        Raises:
            NotJson: it is not strict JSON, or no list is at one of *keys*.
            PeerUnreachable: reading it failed.
        """
        reader = ObjectReader(value_bytes_max=_VALUE_BYTES_MAX)
        lists: dict[str, EventList] = {key: {} for key in keys}
        pending: dict[str, list[object]] = {key: [] for key in keys}
        async for block in _blocks(chunks):
            for piece in reader.feed(block):
                value = parse_json_exact(piece.raw)
                if piece.key not in pending:
                    take_other(piece, value)
                elif not piece.is_element:
                    raise NotJson(f"{piece.key} must be an array")
                else:
                    pending[piece.key].append(value)
            if sum(map(len, pending.values())) >= _BATCH:
                await self._verify(lists, pending)
        reader.close()
        await self._verify(lists, pending)
        return lists

    async def _verify(
        self, lists: Mapping[str, EventList], pending: Mapping[str, list[object]]
    ) -> None:
        for key, pdus in pending.items():
            verified = await self.verifier.of_room(self.version, self.room_id, pdus)
            lists[key].update((each.event.event_id, each) for each in verified)
            pdus.clear()


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """*chunks* in blocks, of which none but the last is small."""
    block = bytearray()
    async for chunk in chunks:
        block += chunk
        if len(block) >= _FED_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)
