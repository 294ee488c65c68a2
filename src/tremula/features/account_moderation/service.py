"""Locks and suspends accounts, and tells from where they are used."""

from msgspec import Struct

from tremula.features.devices.service import Devices, DeviceUse
from tremula.features.sessions.service import Sessions
from tremula.features.users.service import User, Users
from tremula.infra.http import Requester
from tremula.infra.journal import Journal
from tremula.protocol.errors import Forbidden, InvalidParam, NotFound
from tremula.protocol.identifiers import UserId, parse_user_id, server_of


class AccountModeration(Struct, frozen=True):
    """What administrators do to the accounts of others."""

    journal: Journal
    users: Users
    sessions: Sessions
    devices: Devices

    async def account(self, requester: Requester, raw_user_id: str) -> User:
        """A user whom *requester* wants to know of, as an administrator.

        That is checked first, so that nobody else learns who exists.

        Raises:
            Forbidden: *requester* is no administrator, or the user is another one.
            InvalidParam: the user is not of this server.
            NotFound: there is no such user, or no more.
        """
        if not requester.is_admin:
            raise Forbidden("only administrators may do this")
        user_id = parse_user_id(raw_user_id)
        if server_of(user_id) != self.users.server_name:
            raise InvalidParam(f"{user_id} is not of this server")
        user = await self.users.get(user_id)
        if user.is_deactivated:
            raise NotFound(f"{user_id} is deactivated")
        if user.is_admin and user_id != requester.user_id:
            raise Forbidden(f"{user_id} is an administrator, too")
        return user

    async def account_of_other(self, requester: Requester, raw_user_id: str) -> User:
        """As `account`, and refuses that of *requester*."""
        user = await self.account(requester, raw_user_id)
        if user.user_id == requester.user_id:
            raise Forbidden("administrators may not do this to themselves")
        return user

    async def set_locked(self, user_id: UserId, *, is_locked: bool) -> None:
        """Keep a user from using the account at all, or no longer. Tokens stay."""
        unit = self.journal.unit()
        self.users.set_is_locked(unit, user_id, is_locked=is_locked)
        self.sessions.reload_user(unit, user_id)
        await self.journal.commit(unit)

    async def set_suspended(self, user_id: UserId, *, is_suspended: bool) -> None:
        """Keep a user from doing what others would see, or no longer."""
        unit = self.journal.unit()
        self.users.set_is_suspended(unit, user_id, is_suspended=is_suspended)
        self.sessions.reload_user(unit, user_id)
        await self.journal.commit(unit)

    async def whereabouts(
        self, requester: Requester, raw_user_id: str
    ) -> list[DeviceUse]:
        """When, from where and with what a user's devices were used last.

        Raises:
            Forbidden: *requester* is neither the user nor an administrator.
            NotFound: there is no such user.
        """
        if raw_user_id != requester.user_id and not requester.is_admin:
            raise Forbidden("only administrators may look up others")
        user = await self.users.get(parse_user_id(raw_user_id))
        return await self.devices.uses_of(user.user_id)
