"""Accounts: made, given a password, closed."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from msgspec import Struct

from tremula.features.devices.service import Devices
from tremula.features.sessions.service import Sessions
from tremula.features.uia.service import PASSWORD_FLOWS, Authenticated, Stage, Uia
from tremula.features.users.service import User, Users, check_password_size
from tremula.infra.clock import Clock
from tremula.infra.db import Conflict, DatabaseUnavailable
from tremula.infra.http import Requester
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import (
    Forbidden,
    InvalidUsername,
    MatrixError,
    UserInUse,
)
from tremula.protocol.identifiers import (
    ID_BYTES_MAX,
    DeviceId,
    UserId,
    is_valid_localpart,
    localpart_of,
)

_RESET_FLOWS: Final = (*PASSWORD_FLOWS, (Stage.EMAIL,))

UserHook = Callable[[UserId], Awaitable[None]]

log = structlog.get_logger(__name__)


class AccountHooks(Struct, frozen=True):
    """What other features do as accounts come and go.

    ``on_registered(unit, user_id, displayname)`` adds to the unit that makes the user,
    ``on_erasing(unit, user_id)`` to the one that deactivates and erases them.
    ``on_deactivated`` takes the user out of all rooms, ``on_erased`` removes what the
    user has stored; both are repeated.
    """

    on_registered: Callable[[JournalUnit, UserId, str], None]
    on_erasing: Callable[[JournalUnit, UserId], None]
    on_deactivated: tuple[UserHook, ...] = ()
    on_erased: tuple[UserHook, ...] = ()


class Accounts(Struct, frozen=True):
    """Creates, changes and deactivates accounts, for clients and operators."""

    journal: Journal
    clock: Clock
    users: Users
    devices: Devices
    sessions: Sessions
    uia: Uia
    hooks: AccountHooks

    def parse_new_localpart(self, raw: str) -> UserId:
        """The user ID that an account of this name would have; capitals are folded.

        Raises:
            InvalidUsername: the name cannot be the localpart of a new user.
        """
        localpart = raw.lower()
        user_id = self.users.id_of(localpart)
        if not is_valid_localpart(localpart):
            raise InvalidUsername("a username is made of a-z, 0-9 and . _ = - / +")
        if len(user_id.encode()) > ID_BYTES_MAX:
            raise InvalidUsername("this username is too long")
        return user_id

    async def check_available(self, user_id: UserId) -> None:
        """Refuse a name that is taken, or was before a deactivation.

        Raises:
            UserInUse: it is.
        """
        if await self.users.find(user_id) is not None:
            raise UserInUse("this username is taken")

    async def create_user(
        self, localpart: str, password: str, *, is_admin: bool = False
    ) -> UserId:
        """Make an account, for an operator.

        Raises:
            InvalidUsername, UserInUse, InvalidParam: see the message.
        """
        user_id = self.parse_new_localpart(localpart)
        user = await self.new_user(user_id, password, is_admin=is_admin)
        unit = self.journal.unit()
        self.add(unit, user)
        try:
            await self.journal.commit(unit)
        except Conflict:
            raise UserInUse("this username is taken") from None
        return user_id

    async def new_user(
        self, user_id: UserId, password: str, *, is_admin: bool = False
    ) -> User:
        """The record of a user to be added, its password hashed.

        Raises:
            InvalidParam: the password is empty or too long.
            LimitExceeded: too many passwords are being hashed.
        """
        check_password_size(password)
        return User(
            user_id=user_id,
            password_hash=await self.users.passwords.hash(password),
            created_ts_ms=self.clock.now_ms(),
            is_admin=is_admin,
            is_guest=False,
        )

    def add(self, unit: JournalUnit, user: User) -> None:
        """Add an account with its profile. A taken user ID fails the unit.

        To be called right before the commit: it takes journal positions.
        """
        self.users.add(unit, user)
        self.hooks.on_registered(unit, user.user_id, localpart_of(user.user_id))

    async def authenticate(
        self, user_id: UserId | None, operation: str, auth: object, digest: bytes
    ) -> Authenticated:
        """Whose account a request is about, once its owner has proved to be that.

        *user_id* is that of the access token; without one the password tells, or, for
        another password, an address of the account.

        Raises:
            UiaRequired: stages are still to be completed, or one has failed.
            BadJson: *auth* is malformed.
        """
        is_reset = user_id is None and operation == "changePassword"
        flows = _RESET_FLOWS if is_reset else PASSWORD_FLOWS
        return await self.uia.require(user_id, operation, auth, digest, flows=flows)

    async def list_users(self, *, after: str = "", limit: int = 100) -> list[User]:
        """Users in order of their IDs, at most 500, the first ones past *after*."""
        return await self.users.page_after(after, limit=limit)

    async def set_password(
        self,
        user_id: UserId,
        password: str,
        *,
        logs_out: bool = True,
        but_device_id: DeviceId | None = None,
        proof: Authenticated | None = None,
    ) -> None:
        """Give the account another password; *logs_out* ends all devices but one.

        Raises:
            NotFound: there is no such user.
            Forbidden: the account is deactivated, or a guest's.
            InvalidParam: the password is too long.
            LimitExceeded: too many passwords are being hashed.
            UiaRequired: *proof* is none any more.
        """
        check_password_size(password)
        await self._get_owned(user_id)
        password_hash = await self.users.passwords.hash(password)

        def change(unit: JournalUnit) -> None:
            self.users.set_password_hash(unit, user_id, password_hash)

        if logs_out:
            await self.devices.log_out_all(
                user_id, but_device_id=but_device_id, also=change, proof=proof
            )
            return

        async def attempt() -> None:
            unit = await self.uia.unit_by(proof)
            change(unit)
            await self.journal.commit(unit)

        await reread_on_conflict(attempt)

    async def set_admin(self, user_id: UserId, *, is_admin: bool) -> None:
        """Make the user a server administrator, or no longer one.

        Raises:
            NotFound: there is no such user.
            Forbidden: the account is deactivated, or a guest's.
        """
        await self._get_owned(user_id)
        unit = self.journal.unit()
        self.users.set_is_admin(unit, user_id, is_admin=is_admin)
        self.sessions.reload_user(unit, user_id)
        await self.journal.commit(unit)

    async def deactivate(
        self,
        user_id: UserId,
        *,
        is_erased: bool = False,
        proof: Authenticated | None = None,
    ) -> None:
        """Close the account for good, log out all devices, and leave all rooms.

        Safe to repeat. What the leaving has left, if it is interrupted or something was
        under way, `Departures` finishes.

        Raises:
            NotFound: there is no such user.
            UiaRequired: *proof* is none any more.
        """
        await self.users.get(user_id)

        def close(unit: JournalUnit) -> None:
            self.users.deactivate(
                unit, user_id, ts_ms=self.clock.now_ms(), is_erased=is_erased
            )
            if is_erased:
                self.hooks.on_erasing(unit, user_id)

        await self.devices.log_out_all(user_id, also=close, proof=proof)
        try:
            await self.depart(user_id)
        except (MatrixError, DatabaseUnavailable) as error:
            # The account is closed, which is what was asked for.
            log.warning("departure_interrupted", user_id=user_id, reason=str(error))

    async def check_open(self, requester: Requester) -> None:
        """Refuse who came into a room while their account was closed, and take them out
        of all rooms once more. No query while their token is in use.

        Raises:
            Forbidden: it was.
        """
        await self.journal.settled()
        if self.sessions.is_current(requester):
            return
        user = await self.users.find(requester.user_id)
        if user is not None and user.is_deactivated:
            await self.depart(user.user_id)
            raise Forbidden("the account was deactivated")

    async def depart(self, user_id: UserId) -> None:
        """Take a user whose account is closed out of all rooms, and out of what else
        they are in; if they are to be erased, remove that, too. Safe to repeat.
        """
        for hook in self.hooks.on_deactivated:
            await hook(user_id)
        if (await self.users.get(user_id)).is_erased:
            for hook in self.hooks.on_erased:
                await hook(user_id)

    async def _get_owned(self, user_id: UserId) -> User:
        user = await self.users.get(user_id)
        if user.is_deactivated or user.is_guest:
            raise Forbidden("the account is deactivated, or a guest's")
        return user
