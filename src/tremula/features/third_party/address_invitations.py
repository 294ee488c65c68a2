"""Invites addresses: who is known to have one, by mail, or through the identity server
that a user names.
"""

from msgspec import Struct

from tremula.features.third_party.identity_invitations import IdentityInvitations
from tremula.features.third_party.identity_servers import Access
from tremula.features.third_party.invitations import EmailInvitations
from tremula.protocol.email_addresses import InvitedAddress
from tremula.protocol.errors import MissingParam
from tremula.protocol.identifiers import RoomId, UserId


class AddressInvitations(Struct, frozen=True):
    """Invites the user who has an address here, if that is no secret. Asks an identity
    server if the operator names it, and sends a mail else.
    """

    by_email: EmailInvitations
    through_servers: IdentityInvitations

    def check_possible(self, invited: InvitedAddress) -> None:
        """Refuse what can't be done, before anything is.

        Raises:
            ThreepidMediumNotSupported: there is neither mail nor an identity server.
            MissingParam: there is no token for the identity server.
        """
        if self._access(invited) is None:
            self.by_email.check_possible()

    async def invite(
        self, sender: UserId, room_id: RoomId, invited: InvitedAddress
    ) -> None:
        """Invite whoever has the address.

        Raises:
            MatrixError: as `check_possible`, `EmailInvitations.invite`,
                `IdentityInvitations.invite` and `Membership.invite`.
        """
        access = self._access(invited)
        owner = await self.by_email.validations.revealed_owner(invited.address)
        if owner is not None:
            membership = self.through_servers.membership
            await membership.invite(sender, owner, room_id, reason=None)
        elif access is None:
            await self.by_email.invite(sender, room_id, invited.address)
        else:
            await self.through_servers.invite(sender, room_id, invited.address, access)

    def _access(self, invited: InvitedAddress) -> Access | None:
        id_server = invited.id_server
        if id_server is None or not self.through_servers.servers.is_trusted(id_server):
            return None
        if invited.id_access_token is None:
            raise MissingParam("missing key 'id_access_token'")
        return Access(id_server, invited.id_access_token)
