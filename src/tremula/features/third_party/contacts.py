"""The e-mail addresses of accounts, as their owners change them."""

from msgspec import Struct

from tremula.features.third_party.invitations import EmailInvitations
from tremula.features.third_party.service import Medium, Purpose, ThirdPartyIds
from tremula.features.third_party.validations import Validations
from tremula.features.uia.service import Uia
from tremula.protocol.email_addresses import parse_email_address
from tremula.protocol.errors import ThreepidDenied
from tremula.protocol.identifiers import ServerName, UserId


class Contacts(Struct, frozen=True):
    """Adds and removes addresses."""

    ids: ThirdPartyIds
    validations: Validations
    invitations: EmailInvitations
    uia: Uia
    server_name: ServerName

    def check_changes(self) -> None:
        """Refuse changes where the operator alone makes them.

        Raises:
            ThreepidDenied: that is so.
        """
        if not self.validations.settings.users_may_change:
            raise ThreepidDenied("Addresses of accounts can't be changed here.")

    async def add(
        self,
        user_id: UserId,
        sid: str,
        client_secret: str,
        *,
        auth: object,
        digest: bytes,
    ) -> None:
        """Add an address that is proved, once the user has given their password.

        Raises:
            UiaRequired: the password is still to be given.
            ThreepidAuthFailed: the address is not proved.
            ThreepidInUse, ThreepidDenied: the user can't have it.
        """
        self.check_changes()
        await self.uia.require(user_id, "add3PID", auth, digest)
        address = await self.validations.take(Purpose.ADD, sid, client_secret)
        await self.ids.add(user_id, address)
        await self.invitations.deliver(user_id, address)

    async def remove(self, user_id: UserId, medium: Medium, address: str) -> None:
        """Take an address from the account; safe to repeat.

        Raises:
            ThreepidDenied: the operator alone changes addresses.
            InvalidParam: no address.
        """
        self.check_changes()
        if medium is Medium.EMAIL:
            address = parse_email_address(address)
        await self.ids.remove(user_id, medium, address)

    def is_own_key(self, public_key: str) -> bool:
        """Whether invitations of this server are signed with that key."""
        return self.invitations.is_own_key(public_key)
