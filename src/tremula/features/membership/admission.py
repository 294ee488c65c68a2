"""What keeps our users out of a room, or in it, beside its own rules."""

from msgspec import Struct

from tremula.features.account.service import Accounts
from tremula.features.appservice_queries.service import AppserviceQueries
from tremula.features.blocked_rooms.service import BlockedRooms
from tremula.features.membership.invite_permission import InvitePermission
from tremula.features.server_notices.service import NoticeRooms
from tremula.infra.http import Requester
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.view import RoomView


class Admission(Struct, frozen=True):
    """Asks users whether they want to be invited, administrators what they block, and
    whether a room is the server's own.
    """

    invites: InvitePermission
    blocked: BlockedRooms
    notices: NoticeRooms
    queries: AppserviceQueries
    accounts: Accounts

    async def check_room(self, room_id: RoomId) -> None:
        """Refuse to let anyone of ours into a blocked room.

        Raises:
            Forbidden: it is one.
        """
        await self.blocked.check(room_id)

    async def check_came(self, requester: Requester) -> None:
        """Let nobody stay in a room whose account was closed as they came into it.

        Raises:
            Forbidden: that is so; they have left again.
        """
        await self.accounts.check_open(requester)

    async def check_leaving(self, view: RoomView, user_id: UserId) -> None:
        """Refuse to let a user refuse what the server has to say.

        Raises:
            CannotLeaveServerNoticeRoom: *view* is the room where it does.
        """
        membership = view.membership(user_id)
        await self.notices.check_leaving(user_id, view.room_id, membership)

    async def introduce(self, invitee: UserId) -> None:
        """Have a local user made whom an application service has."""
        await self.queries.introduce(invitee)

    async def check_invitee(self, invitee: UserId) -> None:
        """Refuse to invite a local user who can't come, or blocks invitations.

        Raises:
            Forbidden: *invitee* has closed their account.
            InviteBlocked: *invitee* wants no invitations.
        """
        user = await self.accounts.users.find(invitee)
        if user is not None and user.is_deactivated:
            raise Forbidden(f"{invitee} has closed their account")
        await self.invites.check(invitee)
