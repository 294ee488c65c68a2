"""Application services register users, and log in as them, without any password."""

from typing import Final

from msgspec import Struct

from tremula.features.account.service import Accounts
from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.devices.service import LoggedIn, NewDevice
from tremula.features.profiles.service import TOPIC as PROFILE_TOPIC
from tremula.features.users.service import User
from tremula.infra.db import Conflict
from tremula.infra.journal import Journal
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import Exclusive, Forbidden, InvalidUsername, UserInUse
from tremula.protocol.identifiers import (
    ID_BYTES_MAX,
    UserId,
    is_valid_localpart,
    localpart_of,
)

__all__ = ["LOGIN_TYPE", "VirtualUsers"]

LOGIN_TYPE: Final = "m.login.application_service"


class VirtualUsers(Struct, frozen=True):
    """Gives application services "full control over" their namespaces."""

    journal: Journal
    accounts: Accounts
    appservices: Appservices

    async def register(
        self, as_token: str | None, username: str, device: NewDevice | None
    ) -> UserId | LoggedIn:
        """Make a user, and log in unless there is no *device*.

        Raises:
            MissingToken, UnknownToken: this is no application service.
            Exclusive: the user is not in its namespaces, or is another one's.
            InvalidUsername, UserInUse: see the name.
        """
        appservice = await self.appservices.authenticate(as_token)
        try:
            return await self._add(appservice, self._id_of(username), device)
        except Conflict:
            raise UserInUse("this username is taken") from None

    async def log_in(
        self, as_token: str | None, name: str, device: NewDevice
    ) -> LoggedIn:
        """Log in as a user, who is made if need be: bridges log their bot in first.

        Raises:
            MissingToken, UnknownToken: this is no application service.
            Exclusive: the user is not in its namespaces.
            InvalidUsername: there is no such user, and there can't be.
            Forbidden: the account was deactivated.
            UserLocked: an administrator has locked the account.
        """
        appservice = await self.appservices.authenticate(as_token)
        return await reread_on_conflict(lambda: self._log_in(appservice, name, device))

    async def _log_in(
        self, appservice: Appservice, name: str, device: NewDevice
    ) -> LoggedIn:
        user_id = UserId(name) if name[:1] == "@" else self.accounts.users.id_of(name)
        if not appservice.matches_user(user_id):
            raise _outside()
        user = await self.accounts.users.find(user_id)
        if user is None:
            added = await self._add(appservice, self._id_of(user_id), device)
            assert isinstance(added, LoggedIn), "there is a device"
            return added
        if user.is_deactivated:
            raise Forbidden("the account was deactivated")
        await self.accounts.users.check_not_locked(user_id)
        return await self.accounts.devices.log_in(user_id, device)

    async def _add(
        self, appservice: Appservice, user_id: UserId, device: NewDevice | None
    ) -> UserId | LoggedIn:
        if appservice not in self.appservices.of_user(user_id):
            raise _outside()
        if self.appservices.exclusive_of_user(user_id, but=appservice):
            raise Exclusive("another application service keeps this user to itself")
        user = User(
            user_id=user_id,
            password_hash=None,
            created_ts_ms=self.accounts.clock.now_ms(),
            is_admin=False,
            is_guest=False,
        )
        unit = self.journal.unit()
        self.accounts.add(unit, user)
        if user_id == appservice.sender:
            # It may have had a profile before an account: what is kept in memory of a
            # new one is to be forgotten.
            unit.announce(PROFILE_TOPIC, user_id, None, pos=unit.pos())
        added: UserId | LoggedIn = user_id
        if device is not None:
            added = self.accounts.devices.log_in_new(unit, user, device)
        await self.journal.commit(unit)
        return added

    def _id_of(self, name: str) -> UserId:
        """The user ID of a localpart or user ID, as it is spelt."""
        localpart = localpart_of(name) if name[:1] == "@" else name
        user_id = self.accounts.users.id_of(localpart)
        if not is_valid_localpart(localpart) or len(user_id.encode()) > ID_BYTES_MAX:
            raise InvalidUsername("a username is made of a-z, 0-9 and . _ = - / +")
        return user_id


def _outside() -> Exclusive:
    return Exclusive("this user is in no namespace of the application service")
