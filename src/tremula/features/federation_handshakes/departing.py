"""Knocking, and leaving, where this server is not in the room (SS "Knocking upon a
room", "Leaving Rooms (Rejecting Invites)").
"""

from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import Struct

from tremula.features.federation_handshakes.handshake import Handshakes, SignedWish
from tremula.features.federation_handshakes.residents import Candidates, Deadline
from tremula.features.federation_handshakes.templates import Wish
from tremula.features.federation_handshakes.told_state import ToldState
from tremula.protocol.errors import BadJson, MatrixError, TooLarge
from tremula.protocol.events import EventDraft, build_event
from tremula.protocol.identifiers import ServerName
from tremula.protocol.stripped_state import strip
from tremula.rooms.outside import OutsideMembership, OutsideRooms
from tremula.rooms.peers import PeerFailed

log = structlog.get_logger(__name__)

_KNOCK_TIMEOUT_S: Final = 60.0
# Whoever leaves need not wait for a server that is gone.
_LEAVE_TIMEOUT_S: Final = 30.0
_LEAVE_DEPTH: Final = 1


class OutsideWishes(Struct, frozen=True):
    """Knocks and leaves on behalf of users, through servers that are in the room."""

    handshakes: Handshakes
    outside: OutsideRooms
    told_state: ToldState

    async def knock(self, wish: Wish, candidates: Candidates) -> None:
        """Ask to be let in.

        Raises:
            MatrixError: as `Candidates.first`.
        """
        deadline = Deadline.after(self.handshakes.clock, _KNOCK_TIMEOUT_S)
        knocked = await candidates.first(
            lambda resident: self._knock(resident, wish, deadline), deadline
        )
        await self.outside.record(knocked)

    async def leave(
        self, before: OutsideMembership, wish: Wish, candidates: Candidates
    ) -> None:
        """Refuse an invitation, or take back a knock.

        If nobody in the room can be told, the user is out of it all the same.
        """
        deadline = Deadline.after(self.handshakes.clock, _LEAVE_TIMEOUT_S)
        try:
            left = await candidates.first(
                lambda resident: self._leave(resident, wish, deadline), deadline
            )
        except MatrixError as error:
            log.info("left_untold", room_id=wish.room_id, reason=error.message)
            left = self._unheard(before, wish)
        await self.outside.record(_recorded(left, candidates.servers, ()))

    async def _knock(
        self, resident: ServerName, wish: Wish, deadline: Deadline
    ) -> OutsideMembership:
        signed = await self.handshakes.make(resident, wish, deadline)
        answer = await self.handshakes.send(resident, signed, "v1/send_knock", deadline)
        try:
            stripped = await self.told_state.prune(
                signed.version, wish.room_id, answer.get("knock_room_state")
            )
        except (BadJson, TooLarge) as error:
            raise PeerFailed(f"knock_room_state: {error.message}") from error
        return _recorded(signed, (resident,), stripped)

    async def _leave(
        self, resident: ServerName, wish: Wish, deadline: Deadline
    ) -> SignedWish:
        signed = await self.handshakes.make(resident, wish, deadline)
        await self.handshakes.send(resident, signed, "v2/send_leave", deadline)
        return signed

    def _unheard(self, before: OutsideMembership, wish: Wish) -> SignedWish:
        """The leave as an event that no server but this one will ever see."""
        built = build_event(
            before.version,
            EventDraft(
                room_id=wish.room_id,
                type="m.room.member",
                sender=wish.user_id,
                state_key=wish.user_id,
                content=dict(wish.content),
                origin_server_ts=self.handshakes.clock.now_ms(),
            ),
            prev_events=[before.event_id],
            auth_events=[before.event_id],
            depth=_LEAVE_DEPTH,
            signing_key=self.handshakes.key,
        )
        return SignedWish(before.version, built)


def _recorded(
    signed: SignedWish, servers: Sequence[ServerName], stripped: Sequence[bytes]
) -> OutsideMembership:
    event = signed.built.event
    own = strip(
        {
            "type": event.type,
            "state_key": event.state_key,
            "sender": event.sender,
            "content": event.content,
        }
    )
    return OutsideMembership.of(
        signed.version,
        signed.built,
        servers=servers,
        stripped_state=(*stripped, own),
    )
