"""The server that is in the room, and lets users of others in and out."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from msgspec import Struct

from tremula.features.federation_handshakes.intake import Intake
from tremula.features.federation_handshakes.join_answers import JoinAnswers
from tremula.features.federation_handshakes.member_events import (
    MEMBER,
    check_own_membership,
    check_place,
    object_of,
)
from tremula.features.federation_handshakes.restricted_joins import RestrictedJoins
from tremula.features.federation_handshakes.templates import AUTHORISED_VIA
from tremula.protocol.auth_rules import check_auth
from tremula.protocol.errors import (
    AuthRuleViolation,
    Forbidden,
    IncompatibleRoomVersion,
    InvalidParam,
    NotFound,
    Unknown,
)
from tremula.protocol.events import Event
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    UserId,
    server_of,
)
from tremula.protocol.received_events import ReceivedEvent, receive_pdu
from tremula.protocol.signing import countersign_event
from tremula.rooms.authorising import vouched_for
from tremula.rooms.events import Draft
from tremula.rooms.graph import Standing
from tremula.rooms.reader import RoomReader
from tremula.rooms.staging import OwnServer
from tremula.rooms.unsent import UnsentEvents
from tremula.rooms.verification import EventVerifier, Refused
from tremula.rooms.view import RoomView

# Less than others wait for us before they ask the next server.
_PATIENCE_S: Final = 5.0


class Membership(Struct, frozen=True):
    """What a user of *origin* wants to be in a room."""

    origin: ServerName
    room_id: RoomId
    membership: str


class Resident(Struct, frozen=True):
    """Makes templates for users of other servers, and takes in what they sign."""

    intake: Intake
    reader: RoomReader
    unsent: UnsentEvents
    verifier: EventVerifier
    restricted: RestrictedJoins
    answers: JoinAnswers
    own: OwnServer

    async def make(
        self, wanted: Membership, user_id: UserId, versions: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """An event for *user_id* to be signed by their server, which supports
        *versions*.

        Raises:
            NotFound: this server is not in the room.
            Forbidden: the room's rules, or its ACL; or the user is of another server.
            IncompatibleRoomVersion: the other server does not know the room's.
            UnableToAuthoriseJoin, UnableToGrantJoin: see `RestrictedJoins`.
        """
        view = await self.get_room(wanted.room_id, wanted.origin)
        if server_of(user_id) != wanted.origin:
            raise Forbidden("the user is of another server")
        if versions is not None and view.version.id not in versions:
            raise IncompatibleRoomVersion(
                "your server does not support the version of this room",
                room_version=view.version.id,
            )

        async def choose(refused: Collection[UserId]) -> UserId | None:
            if wanted.membership != "join":
                return None
            return await self.restricted.authorising_user(
                view, user_id, wanted.origin, but=refused
            )

        async def template(via: UserId | None) -> dict[str, Any]:
            content = {"membership": wanted.membership}
            if via is not None:
                content[AUTHORISED_VIA] = via
            draft = Draft(MEMBER, user_id, content, user_id)
            return await self.unsent.template(view.room_id, draft)

        event = await vouched_for(choose, template)
        return {"room_version": view.version.id, "event": event}

    async def send(
        self, wanted: Membership, event_id: EventId, body: object
    ) -> tuple[RoomView, ReceivedEvent]:
        """Take the event *event_id*, which is the request's *body*, into the room.

        Raises:
            NotFound: this server is not in the room.
            BadJson, TooLarge, InvalidParam: it is not what may be sent here.
            Forbidden: the room does not allow it.
            UnableToAuthoriseJoin, UnableToGrantJoin: see `RestrictedJoins`.
        """
        view = await self.get_room(wanted.room_id, wanted.origin)
        pdu = object_of(body)
        received = receive_pdu(view.version, pdu)
        check_place(received, view.room_id, event_id)
        check_own_membership(received.event, wanted.membership, wanted.origin)
        pdu = await self._vouched_for(view, wanted, pdu, received.event)
        [verified] = await self.verifier.verify(view.version, [pdu])
        if isinstance(verified, Refused):
            raise InvalidParam(
                f"the event is not signed as it must be: {verified.reason}"
            )
        _check_allowed(view, verified.event)
        receipt = await self.intake.take(verified, origin=wanted.origin)
        if receipt.standing is not Standing.ACCEPTED:
            raise Forbidden(f"the room does not allow it: {receipt.reason}")
        return view, verified

    async def join(
        self, wanted: Membership, event_id: EventId, body: object, *, omit_members: bool
    ) -> bytes:
        """As `send`, with the answer that a joining server needs, as JSON."""
        view, joined = await self.send(wanted, event_id, body)
        return await self.answers.of(view, joined, omit_members=omit_members)

    async def knock(self, wanted: Membership, event_id: EventId, body: object) -> bytes:
        """As `send`, with what a knocking user may know of the room, as JSON."""
        view, _ = await self.send(wanted, event_id, body)
        told = await self.answers.told_state.of_room(view)
        return b'{"knock_room_state":[%b]}' % b",".join(told)

    async def get_room(self, room_id: RoomId, origin: ServerName) -> RoomView:
        """The room, if this server is in it and *origin* may take part.

        Raises:
            NotFound: it is not, or has just come in.
            Forbidden: the room does not admit *origin*.
        """
        view = await self.reader.find_room(room_id)
        if view is None or self.own.name not in view.joined_servers:
            raise NotFound("this server is not in that room")
        if view.partial is not None:
            view = await self._whole(room_id)
        if not view.admits(origin):
            raise Forbidden("the room does not admit your server")
        return view

    async def _whole(self, room_id: RoomId) -> RoomView:
        """A room that this server has just come into, when it knows who else may.

        Raises:
            NotFound: it does not yet. Others do.
        """
        try:
            return await self.reader.whole_room(room_id, patience_s=_PATIENCE_S)
        except Unknown as error:
            raise NotFound(error.message) from error

    async def _vouched_for(
        self, view: RoomView, wanted: Membership, pdu: dict[str, Any], event: Event
    ) -> dict[str, Any]:
        """*pdu*, signed by this server if one of its users is said to vouch for it."""
        via = event.content.get(AUTHORISED_VIA)
        if (
            wanted.membership != "join"
            or not isinstance(via, str)
            or server_of(via) != self.own.name
        ):
            return pdu
        await self.restricted.authorising_user(view, event.sender, wanted.origin)
        return countersign_event(view.version, pdu, self.own.name, self.own.key)


def _check_allowed(view: RoomView, event: Event) -> None:
    """Refuse what the current state forbids, before anything is stored of it."""
    try:
        # Whoever had to sign the event has, or it would have been refused.
        check_auth(view.version, event, view.auth, server_signed=lambda _: True)
    except AuthRuleViolation as error:
        raise Forbidden(error.message) from error
