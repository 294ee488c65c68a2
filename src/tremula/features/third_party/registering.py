"""The address that a new user has proved."""

from msgspec import Struct

from tremula.features.third_party.invitations import EmailInvitations
from tremula.features.third_party.service import TABLE, ThirdPartyIds
from tremula.infra.journal import JournalUnit
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.identifiers import UserId


class NewUsersContacts(Struct, frozen=True):
    """Implements `NewContacts`."""

    ids: ThirdPartyIds
    invitations: EmailInvitations

    @property
    def table(self) -> str:
        """Names the conflict of two users with one address."""
        return TABLE

    def add_to(self, unit: JournalUnit, user_id: UserId, address: EmailAddress) -> None:
        """Give a new user an address; *unit* fails if somebody else has it."""
        self.ids.add_to(unit, user_id, address)

    async def deliver(self, user_id: UserId, address: EmailAddress) -> None:
        """Let a new user have the invitations of their address."""
        await self.invitations.try_to_deliver(user_id, address)
