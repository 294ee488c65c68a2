"""The answer to ``send_join``, read and verified while it comes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from tremula.protocol.errors import NotJson
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    is_valid_server_name,
)
from tremula.protocol.json import parse_json_exact
from tremula.protocol.json_stream import ObjectReader, Piece
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.peers import PeerFailed
from tremula.rooms.verification import EventVerifier

ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
"""Some 150,000 events."""

# A PDU of 64 KiB in which every character is escaped.
_VALUE_BYTES_MAX: Final = 512 * 1024
# How much is looked at in one go.
_FED_BYTES: Final = 64 * 1024
# As many events as have their keys fetched together.
_BATCH: Final = 2000
# More than the whole network has.
_SERVERS_MAX: Final = 100_000
_STATE: Final = "state"
_AUTH_CHAIN: Final = "auth_chain"


@dataclass(slots=True)
class JoinAnswer:
    """Events whose signatures are right, each once; ``event`` as it came.

    If ``members_omitted``, the state lacks members, and ``servers`` were in the room.
    """

    state: dict[EventId, ReceivedEvent] = field(default_factory=dict)
    auth_chain: dict[EventId, ReceivedEvent] = field(default_factory=dict)
    event: object = None
    members_omitted: bool = False
    servers: dict[ServerName, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JoinAnswerReader:
    """Reads the answers for one room."""

    verifier: EventVerifier
    version: RoomVersion
    room_id: RoomId

    async def read(self, chunks: AsyncIterator[bytes]) -> JoinAnswer:
        """The answer that *chunks* make.

        Events that are no events of the room, or not signed as they have to be, are
        left out.

        Raises:
            NotJson: it is not strict JSON.
            PeerFailed: members are left out, and it does not say who is in the room.
            PeerUnreachable: reading it failed.
        """
        reader = ObjectReader(value_bytes_max=_VALUE_BYTES_MAX)
        answer = JoinAnswer()
        pending: dict[str, list[object]] = {_STATE: [], _AUTH_CHAIN: []}
        async for block in _blocks(chunks):
            for piece in reader.feed(block):
                _take(piece, answer, pending)
            if sum(map(len, pending.values())) >= _BATCH:
                await self._verify(answer, pending)
        reader.close()
        await self._verify(answer, pending)
        if answer.members_omitted and not answer.servers:
            raise PeerFailed("members are left out, and no servers_in_room")
        return answer

    async def _verify(
        self, answer: JoinAnswer, pending: dict[str, list[object]]
    ) -> None:
        for key, events in ((_STATE, answer.state), (_AUTH_CHAIN, answer.auth_chain)):
            verified = await self.verifier.of_room(
                self.version, self.room_id, pending[key]
            )
            events.update((each.event.event_id, each) for each in verified)
            pending[key].clear()


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """*chunks* in blocks, of which none but the last is small."""
    block = bytearray()
    async for chunk in chunks:
        block += chunk
        if len(block) >= _FED_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)


def _take(piece: Piece, answer: JoinAnswer, pending: dict[str, list[object]]) -> None:
    value = parse_json_exact(piece.raw)
    if piece.key in pending:
        if not piece.is_element:
            raise NotJson(f"{piece.key} must be an array")
        pending[piece.key].append(value)
    elif piece.key == "event" and not piece.is_element:
        answer.event = value
    elif piece.key == "members_omitted":
        answer.members_omitted = value is True
    elif piece.key == "servers_in_room" and piece.is_element:
        _take_server(value, answer)


def _take_server(value: object, answer: JoinAnswer) -> None:
    if len(answer.servers) >= _SERVERS_MAX:
        raise PeerFailed("too many servers_in_room")
    if isinstance(value, str) and is_valid_server_name(value):
        answer.servers[ServerName(value)] = None
