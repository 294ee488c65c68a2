"""Invitations of our users to rooms of other servers (SS "Inviting to a room")."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from msgspec import Struct

from tremula.features.federation_handshakes.member_events import (
    MEMBER,
    check_invitation,
    check_place,
)
from tremula.features.federation_handshakes.told_state import ToldState
from tremula.protocol.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    InvalidParam,
    InviteBlocked,
    UnsupportedRoomVersion,
)
from tremula.protocol.events import Event
from tremula.protocol.identifiers import EventId, RoomId, ServerName, UserId, server_of
from tremula.protocol.received_events import receive_pdu
from tremula.protocol.room_versions import RoomVersion, get_room_version
from tremula.protocol.signing import countersign_event
from tremula.protocol.stripped_state import strip
from tremula.rooms.outside import OutsideMembership, OutsideRooms
from tremula.rooms.reader import RoomReader
from tremula.rooms.staging import OwnServer
from tremula.rooms.verification import EventVerifier, Refused

log = structlog.get_logger(__name__)

CanBeInvited = Callable[[UserId], Awaitable[bool]]
"""Whether somebody is a user of this server who is not deactivated."""

InvitesBlocked = Callable[[UserId], Awaitable[bool]]
"""Whether a user of this server takes no invitations."""


RoomBlocked = Callable[[RoomId], Awaitable[bool]]
"""Whether none of our users is let into a room."""


class InvitePolicy(Struct, frozen=True):
    """Who may be invited."""

    can_be_invited: CanBeInvited
    is_blocked: InvitesBlocked
    is_room_blocked: RoomBlocked

    async def check(self, user_id: UserId, room_id: RoomId) -> None:
        """Refuse to have *user_id* invited to a room.

        Raises:
            Forbidden: there is no such user, or nobody is let into the room.
            InviteBlocked: they want no invitations.
        """
        if await self.is_room_blocked(room_id):
            raise Forbidden("this server lets nobody into this room")
        if not await self.can_be_invited(user_id):
            raise Forbidden("there is no such user here")
        if await self.is_blocked(user_id):
            raise InviteBlocked(f"{user_id} does not accept invitations")


class ReceivedInvitation(Struct, frozen=True):
    """An invitation as it comes: the event *pdu*, and what is told of the room."""

    origin: ServerName
    room_id: RoomId
    event_id: EventId
    room_version: object
    pdu: dict[str, Any]
    room_state: object


class Invitations(Struct, frozen=True):
    """Signs invitations of our users, and nothing else, and remembers them."""

    reader: RoomReader
    outside: OutsideRooms
    verifier: EventVerifier
    told_state: ToldState
    policy: InvitePolicy
    own: OwnServer

    async def receive(self, invitation: ReceivedInvitation) -> dict[str, Any]:
        """The event with this server's signature added.

        Raises:
            IncompatibleRoomVersion: this server can't be in such a room.
            BadJson, TooLarge, InvalidParam: it is no invitation that may be signed.
            Forbidden: there is no such user, or they are in the room, or the room does
                not admit the other server.
            InviteBlocked: the user wants no invitations.
        """
        version = _version_of(invitation.room_version)
        received = receive_pdu(version, invitation.pdu)
        check_place(received, invitation.room_id, invitation.event_id)
        check_invitation(received.event, invitation.origin, self.own.name)
        [verified] = await self.verifier.verify(version, [invitation.pdu])
        if isinstance(verified, Refused):
            raise InvalidParam(f"not signed as it must be: {verified.reason}")
        stripped = await self.told_state.check(
            version, invitation.room_id, invitation.room_state
        )
        await self.policy.check(
            UserId(verified.event.state_key or ""), invitation.room_id
        )
        signed = countersign_event(version, invitation.pdu, self.own.name, self.own.key)
        if await self._is_outside(version, verified.event, invitation.origin):
            await self._record(version, signed, invitation.origin, stripped)
        return signed

    async def withdraw(
        self, origin: ServerName, room_id: RoomId, pdu: Mapping[str, Any]
    ) -> EventId | None:
        """Take back an invitation, or refuse a knock, by a leave or ban that came from
        a room that this server is not in; the ID of the event, None if it is none such.

        The room's rules cannot be applied from the outside. So nobody but users of the
        server that sent an invitation can take it back. A knock any server may refuse:
        moderators are wherever they are.
        """
        before = await self._awaited_by_target(room_id, pdu)
        if before is None:
            return None
        [verified] = await self.verifier.verify(before.version, [pdu])
        if isinstance(verified, Refused) or verified.event.room_id != room_id:
            return None
        event = verified.event
        if event.depth <= before.depth:
            # From before the invitation: it was the end of an earlier stay.
            return None
        is_knock = before.membership == "knock"
        inviter = origin if is_knock else server_of(before.sender)
        if not origin == inviter == server_of(event.sender):
            log.info("withdrawal_ignored", room_id=room_id, sender=event.sender)
            return None
        after = OutsideMembership.of(
            before.version, verified.stored, servers=before.servers, stripped_state=()
        )
        await self.outside.record(after)
        return event.event_id

    async def _awaited_by_target(
        self, room_id: RoomId, pdu: Mapping[str, Any]
    ) -> OutsideMembership | None:
        """The invitation or knock of the user whom *pdu* makes leave the room."""
        content, user_id = pdu.get("content"), pdu.get("state_key")
        if (
            pdu.get("type") != MEMBER
            or not isinstance(content, dict)
            or content.get("membership") not in {"leave", "ban"}
            or not isinstance(user_id, str)
            or not self.own.is_named(server_of(user_id))
        ):
            return None
        before = await self.outside.find(UserId(user_id), room_id)
        if before is None or before.membership not in {"invite", "knock"}:
            return None
        return before

    async def _is_outside(
        self, version: RoomVersion, event: Event, origin: ServerName
    ) -> bool:
        """Whether this server is not in the room, which then knows of no invitation."""
        view = await self.reader.find_room(event.room_id)
        if view is None:
            return True
        if view.version is not version:
            raise InvalidParam("the room has another version")
        if not view.admits(origin):
            raise Forbidden("the room does not admit your server")
        if self.own.name not in view.joined_servers:
            return True
        if view.is_joined(UserId(event.state_key or "")):
            raise Forbidden(f"{event.state_key} is in the room already")
        return False

    async def _record(
        self,
        version: RoomVersion,
        signed: dict[str, Any],
        origin: ServerName,
        stripped: Sequence[bytes],
    ) -> None:
        built = receive_pdu(version, signed).stored
        await self.outside.record(
            OutsideMembership.of(
                version,
                built,
                servers=(origin,),
                stripped_state=(*stripped, strip(signed)),
            )
        )


def _version_of(raw: object) -> RoomVersion:
    try:
        return get_room_version(raw)
    except UnsupportedRoomVersion as error:
        raise IncompatibleRoomVersion(
            error.message, room_version=raw if isinstance(raw, str) else ""
        ) from error
