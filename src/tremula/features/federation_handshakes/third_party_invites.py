"""Invitations that began with an e-mail address or phone number (SS "Third-party
invites").
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tremula.features.federation_handshakes.inviting import OutgoingInvitations
from tremula.features.federation_handshakes.member_events import (
    MEMBER,
    check_shown_content,
    object_of,
)
from tremula.features.federation_handshakes.resident import Resident
from tremula.protocol.errors import Forbidden, InvalidParam
from tremula.protocol.identifiers import (
    RoomId,
    ServerName,
    UserId,
    parse_user_id,
    server_of,
)
from tremula.protocol.pending_invites import needs_key_check
from tremula.rooms.events import Draft
from tremula.rooms.view import RoomView


class ThirdPartyInvites(Struct, frozen=True):
    """Turns pending invitations into those of a user, whose server asks for it."""

    resident: Resident
    inviting: OutgoingInvitations

    async def exchange(
        self, origin: ServerName, room_id: RoomId, body: Mapping[str, Any]
    ) -> None:
        """Invite the user of *origin* who has the address that was invited.

        The authorisation rules check the signatures of the identity server.

        Raises:
            NotFound: this server is not in the room.
            InvalidParam: it is no such event of that room.
            Forbidden: there is no such pending invitation, or the room's rules.
            MatrixError: the other server does not sign the invitation.
        """
        view = await self.resident.get_room(room_id, origin)
        if body.get("type") != MEMBER or body.get("room_id") != room_id:
            raise InvalidParam("not an m.room.member of the room in the path")
        content = object_of(body, "content")
        if content.get("membership") != "invite":
            raise InvalidParam("the membership must be invite")
        check_shown_content(content)
        target = parse_user_id(body.get("state_key"))
        if server_of(target) != origin:
            raise InvalidParam("the state_key is a user of another server")
        invite = object_of(content, "third_party_invite")
        signed, display_name = object_of(invite, "signed"), invite.get("display_name")
        if not isinstance(display_name, str):
            raise InvalidParam("display_name must be a string")
        # Nothing else of what another server says: this one signs it.
        shown = {"display_name": display_name, "signed": signed}
        draft = Draft(
            type=MEMBER,
            sender=self._sender(view, signed, body.get("sender")),
            state_key=target,
            content={"membership": "invite", "third_party_invite": shown},
        )
        await self.inviting.send(view, draft)

    def _sender(self, view: RoomView, signed: Mapping[str, Any], raw: object) -> UserId:
        sender = parse_user_id(raw)
        token = signed.get("token")
        pending = view.state.get(("m.room.third_party_invite", str(token)))
        if pending is None or pending.sender != sender:
            raise Forbidden("there is no such pending third-party invitation")
        if not self.resident.own.is_named(server_of(sender)):
            raise Forbidden("the sender is not a user of this server")
        if needs_key_check(pending.content):
            raise Forbidden(
                "this server can't check the validity of the invitation's keys yet"
            )
        return sender
