"""The e-mail addresses of accounts, as their owners change them."""

import structlog
from msgspec import Struct

from tremula.features.third_party.identity_servers import IdentityServers
from tremula.features.third_party.invitations import EmailInvitations
from tremula.features.third_party.service import Medium, Purpose, ThirdPartyIds
from tremula.features.third_party.storage import Session
from tremula.features.third_party.validations import Validations
from tremula.features.uia.service import Uia
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.email_addresses import EmailAddress, parse_email_address
from tremula.protocol.errors import MatrixError, ThreepidDenied
from tremula.protocol.identifiers import ServerName, UserId

log = structlog.get_logger(__name__)


class Contacts(Struct, frozen=True):
    """Adds and removes addresses."""

    ids: ThirdPartyIds
    validations: Validations
    invitations: EmailInvitations
    identity_servers: IdentityServers
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
        proof = await self.uia.require(user_id, "add3PID", auth, digest)

        async def attempt() -> EmailAddress:
            session = await self.validations.proved(Purpose.ADD, sid, client_secret)
            is_new = await self.ids.is_to_be_added(user_id, session.address)
            unit = await self.uia.unit_by(proof)
            self.validations.use(unit, session)
            if is_new:
                self.ids.add_to(unit, user_id, session.address)
            await self.ids.journal.commit(unit)
            return session.address

        address = await reread_on_conflict(attempt)
        await self.invitations.try_to_deliver(user_id, address)

    async def confirm(self, sid: str, token: str) -> Session | None:
        """Somebody has pressed the button behind a mail; None if it has none any more.

        They have proved their address, or, where they have it, take its invitations.
        """
        session = await self.validations.confirm(sid, token)
        if session is not None and session.purpose is Purpose.INVITE:
            owner = await self.ids.owner_of(session.address)
            if owner is not None:
                await self.invitations.deliver(owner, session.address)
        return session

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

    async def unbind(
        self, user_id: UserId, medium: Medium, address: str, id_server: str | None
    ) -> bool:
        """Have an identity server forget whose an address is; False if it can't.

        Where clients name none, or none that is trusted, there is none to ask.

        Raises:
            InvalidParam: no address.
            MatrixError: the identity server refuses, or does not answer.
        """
        if medium is Medium.EMAIL:
            address = parse_email_address(address)
        if id_server is None or not self.identity_servers.is_trusted(id_server):
            return False
        return await self.identity_servers.unbind(id_server, user_id, medium, address)

    async def try_to_unbind(
        self, user_id: UserId, medium: Medium, address: str, id_server: str | None
    ) -> bool:
        """The same for an address that is gone here; False if it fails, too."""
        try:
            return await self.unbind(user_id, medium, address, id_server)
        except MatrixError as error:
            log.info("address_not_unbound", reason=error.message)
            return False

    def is_own_key(self, public_key: str) -> bool:
        """Whether invitations of this server are signed with that key."""
        return self.invitations.is_own_key(public_key)
