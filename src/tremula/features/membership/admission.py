"""What keeps our users out of a room, beside its own rules."""

from msgspec import Struct

from tremula.features.blocked_rooms.service import BlockedRooms
from tremula.features.membership.invite_permission import InvitePermission
from tremula.protocol.identifiers import RoomId, UserId


class Admission(Struct, frozen=True):
    """Asks users whether they want to be invited, administrators what they block."""

    invites: InvitePermission
    blocked: BlockedRooms

    async def check_room(self, room_id: RoomId) -> None:
        """Refuse to let anyone of ours into a blocked room.

        Raises:
            Forbidden: it is one.
        """
        await self.blocked.check(room_id)

    async def check_invitee(self, invitee: UserId) -> None:
        """Refuse to invite a local user who blocks invitations.

        Raises:
            InviteBlocked: *invitee* does.
        """
        await self.invites.check(invitee)
