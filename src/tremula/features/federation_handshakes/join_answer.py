"""The answer to ``send_join``, read and verified while it comes."""

from collections.abc import AsyncIterator
from typing import Final

from msgspec import Struct, field

from tremula.protocol.identifiers import (
    RoomId,
    ServerName,
    is_valid_server_name,
)
from tremula.protocol.json_stream import Piece
from tremula.protocol.room_versions import RoomVersion
from tremula.rooms.event_lists import EventList, EventListReader
from tremula.rooms.peers import PeerFailed
from tremula.rooms.verification import EventVerifier

ANSWER_BYTES_MAX: Final = 256 * 1024 * 1024
"""Some 150,000 events."""

# More than the whole network has.
_SERVERS_MAX: Final = 100_000
_STATE: Final = "state"
_AUTH_CHAIN: Final = "auth_chain"


class JoinAnswer(Struct):
    """Events whose signatures are right, each once; ``event`` as it came.

    If ``members_omitted``, the state lacks members, and ``servers`` were in the room.
    """

    state: EventList = field(default_factory=EventList)
    auth_chain: EventList = field(default_factory=EventList)
    event: object = None
    members_omitted: bool = False
    servers: dict[ServerName, None] = field(default_factory=dict)


class JoinAnswerReader(Struct, frozen=True):
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
        answer = JoinAnswer()
        reader = EventListReader(self.verifier, self.version, self.room_id)
        lists = await reader.read(
            chunks,
            (_STATE, _AUTH_CHAIN),
            lambda piece, value: _take(piece, value, answer),
        )
        answer.state, answer.auth_chain = lists[_STATE], lists[_AUTH_CHAIN]
        if answer.members_omitted and not answer.servers:
            raise PeerFailed("members are left out, and no servers_in_room")
        return answer


def _take(piece: Piece, value: object, answer: JoinAnswer) -> None:
    if piece.key == "event" and not piece.is_element:
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
