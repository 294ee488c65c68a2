"""Invitations of e-mail addresses through identity servers (CS "Third-party invites").

The identity server knows whose the address is, or mails its owner and vouches for them
once it is known.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tremula.features.membership.service import Membership
from tremula.features.third_party.identity_servers import Access, IdentityServers
from tremula.features.third_party.invitations import THIRD_PARTY_INVITE
from tremula.infra.ratelimit import RateLimiter
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.events import Draft
from tremula.rooms.rooms import Rooms
from tremula.rooms.view import RoomView


class IdentityInvitations(Struct, frozen=True):
    """Invites addresses whose owners an identity server knows, or will know."""

    servers: IdentityServers
    membership: Membership
    rooms: Rooms
    limiter: RateLimiter

    async def invite(
        self, sender: UserId, room_id: RoomId, address: EmailAddress, access: Access
    ) -> None:
        """Invite the user who has *address*, or whoever proves to have it.

        Raises:
            Forbidden: *sender* may not invite here.
            LimitExceeded: *sender* invites too many addresses.
            MatrixError: the identity server refuses, or does not answer.
        """
        self.limiter.check("mail", f"from {sender}")
        view = await self.membership.reader.get_joined(room_id, sender)
        # Before the identity server learns of the address, and writes to it.
        if not view.power_levels.can_invite(sender):
            raise Forbidden("you may not invite to this room")
        known = await self.servers.find_user(access, address)
        if known is not None:
            await self.membership.invite(sender, known, room_id, reason=None)
            return
        invite = {
            "medium": "email",
            "address": address,
            "room_id": room_id,
            "sender": sender,
            **await self._described(view, sender),
        }
        stored = await self.servers.store_invite(access, invite)
        draft = Draft(
            type=THIRD_PARTY_INVITE,
            sender=sender,
            content=stored.content(),
            state_key=stored.token,
        )
        await self.rooms.append(room_id, [draft])

    async def _described(self, view: RoomView, sender: UserId) -> dict[str, str]:
        """What the mail may say of the room and the inviter."""
        profile = await self.membership.fields_of(sender)
        described = {
            "room_name": _state(view, "m.room.name").get("name"),
            "room_alias": _state(view, "m.room.canonical_alias").get("alias"),
            "room_avatar_url": _state(view, "m.room.avatar").get("url"),
            "room_join_rules": _state(view, "m.room.join_rules").get("join_rule"),
            "room_type": _state(view, "m.room.create").get("type"),
            "sender_display_name": profile.get("displayname"),
            "sender_avatar_url": profile.get("avatar_url"),
        }
        return {k: text for k, text in described.items() if isinstance(text, str)}


def _state(view: RoomView, event_type: str) -> Mapping[str, Any]:
    return view.content_of(event_type) or {}
