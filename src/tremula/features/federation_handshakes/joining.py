"""Joining rooms that this server is not in (SS "Joining Rooms")."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct, field

from tremula.features.federation_handshakes.handshake import Handshakes, SignedWish
from tremula.features.federation_handshakes.join_answer import (
    ANSWER_BYTES_MAX,
    JoinAnswer,
    JoinAnswerReader,
)
from tremula.features.federation_handshakes.residents import Candidates, Deadline
from tremula.features.federation_handshakes.state_completion import StateCompletion
from tremula.features.federation_handshakes.templates import AUTHORISED_VIA, Wish
from tremula.infra.db import Conflict
from tremula.infra.locks import KeyedLocks
from tremula.protocol.identifiers import RoomId, ServerName
from tremula.protocol.received_events import ReceivedEvent
from tremula.protocol.room_versions import StateResolution
from tremula.rooms.adoption import AlreadyResident
from tremula.rooms.peers import PeerFailed
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.verification import EventVerifier

_TIMEOUT_S: Final = 120.0
# To put together the state of a great room, and to send it.
_SEND_TIMEOUT_S: Final = 90.0


class RemoteJoins(Struct, frozen=True):
    """Joins rooms through the servers that are in them."""

    handshakes: Handshakes
    rooms: Rooms
    reader: RoomReader
    verifier: EventVerifier
    completion: StateCompletion
    own: ServerName
    _joining: KeyedLocks[RoomId] = field(default_factory=KeyedLocks[RoomId])

    async def join(self, wish: Wish, candidates: Candidates) -> bool:
        """Join; False if meanwhile another user's join has brought this server in,
        so that nobody need be asked any more.

        Raises:
            MatrixError: as `Candidates.first`.
        """
        was_resident = await self._is_resident(wish.room_id)
        async with self._joining.of(wish.room_id):
            if not was_resident and await self._is_resident(wish.room_id):
                return False
            deadline = Deadline.after(self.handshakes.clock, _TIMEOUT_S)
            await candidates.first(
                lambda resident: self._join_through(resident, wish, deadline), deadline
            )
            return True

    async def _is_resident(self, room_id: RoomId) -> bool:
        view = await self.reader.find_room(room_id)
        return view is not None and self.own in view.joined_servers

    async def _join_through(
        self, resident: ServerName, wish: Wish, deadline: Deadline
    ) -> None:
        signed = await self.handshakes.make(resident, wish, deadline)
        view = await self.reader.find_room(wish.room_id)
        if view is not None and view.version is not signed.version:
            raise PeerFailed("the room is known to have another version")
        answer = await self._send(resident, signed, deadline)
        join_event = await self._join_event(signed, answer)
        if view is not None and self.own in view.joined_servers:
            await self._receive(resident, join_event)
        else:
            servers = self._servers(resident, answer)
            try:
                await self._adopt(signed, answer, join_event, servers)
            except AlreadyResident:
                # Another process has joined it for another user at this moment.
                await self._receive(resident, join_event)
                return
            if servers is not None:
                await self.completion.begin(wish.room_id)

    def _servers(
        self, resident: ServerName, answer: JoinAnswer
    ) -> list[ServerName] | None:
        """The other servers in the room, *resident* first; None if the answer says so
        itself by naming all members.
        """
        if not answer.members_omitted:
            return None
        named = dict.fromkeys([resident, *answer.servers])
        return [name for name in named if name != self.own]

    async def _send(
        self, resident: ServerName, signed: SignedWish, deadline: Deadline
    ) -> JoinAnswer:
        reader = JoinAnswerReader(
            self.verifier, signed.version, signed.built.event.room_id
        )
        # State resolution of that time needs the members that are in no dispute.
        is_v1 = signed.version.state_resolution is StateResolution.V1
        async with self.handshakes.client.put_and_stream(
            resident,
            signed.path("v2/send_join"),
            signed.pdu,
            None if is_v1 else {"omit_members": "true"},
            timeout_s=deadline.left_s(_SEND_TIMEOUT_S),
            bytes_max=ANSWER_BYTES_MAX,
        ) as chunks:
            return await reader.read(chunks)

    async def _join_event(
        self, signed: SignedWish, answer: JoinAnswer
    ) -> ReceivedEvent:
        """Our event with the signature that a restricted join needs of the resident.

        Nothing else of the event may have changed.
        """
        pdu = signed.pdu
        if AUTHORISED_VIA in signed.built.event.content:
            pdu = _with_signatures_of(pdu, answer.event)
        verified = await self.verifier.of_room(
            signed.version, signed.built.event.room_id, [pdu]
        )
        if not verified or verified[0].event.event_id != signed.event_id:
            raise PeerFailed("the join was not signed as it has to be")
        return verified[0]

    async def _receive(self, resident: ServerName, join_event: ReceivedEvent) -> None:
        """Take in a join that only others could authorise, in a room of ours."""
        event = join_event.event
        receipts = await self.rooms.receive(
            event.room_id, [join_event], origin=resident
        )
        view = await self.reader.get_room(event.room_id)
        if not view.is_joined(event.sender):
            # It may have to wait for the rest of the state.
            view = await self.reader.whole_room(event.room_id)
        if not view.is_joined(event.sender):
            raise PeerFailed(f"the join is refused: {receipts[event.event_id].reason}")

    async def _adopt(
        self,
        signed: SignedWish,
        answer: JoinAnswer,
        join_event: ReceivedEvent,
        servers: Sequence[ServerName] | None,
    ) -> None:
        try:
            await self._adopt_told(signed, answer, join_event, servers)
        except Conflict:
            # An invitation has made the room known at this moment.
            await self._adopt_told(signed, answer, join_event, servers)

    async def _adopt_told(
        self,
        signed: SignedWish,
        answer: JoinAnswer,
        join_event: ReceivedEvent,
        servers: Sequence[ServerName] | None,
    ) -> None:
        await self.rooms.adopt(
            signed.version,
            signed.built.event.room_id,
            state=list(answer.state.values()),
            auth_chain=list(answer.auth_chain.values()),
            join_event=join_event,
            servers=servers,
        )


def _with_signatures_of(pdu: dict[str, Any], signed_event: object) -> dict[str, Any]:
    """*pdu* with the signatures that *signed_event* has beside its own."""
    signatures = (
        signed_event.get("signatures") if isinstance(signed_event, dict) else None
    )
    if not isinstance(signatures, dict):
        raise PeerFailed("the answer has no signed event")
    return {**pdu, "signatures": {**signatures, **pdu["signatures"]}}
