"""Logging in and out with the legacy API."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from tremula.features.devices.service import Devices, LoggedIn, NewDevice
from tremula.features.login.tokens import LoginTokens
from tremula.features.users.service import Users
from tremula.features.virtual_users.service import LOGIN_TYPE, VirtualUsers
from tremula.infra.ratelimit import RateLimiter
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.identifiers import UserId

__all__ = ["LOGIN_TYPE", "EmailOwner", "Logins"]

EmailOwner = Callable[[EmailAddress], Awaitable[UserId | None]]
"""The user who has an address."""


class Logins(Struct, frozen=True):
    """Turns a name and a password, or a login token, into a device with tokens."""

    users: Users
    devices: Devices
    tokens: LoginTokens
    owner_of: EmailOwner
    virtual_users: VirtualUsers
    limiter: RateLimiter

    async def by_email(
        self, address: EmailAddress, password: str, device: NewDevice
    ) -> LoggedIn:
        """Log in whoever has *address*; as `by_password`, also in what it tells."""
        owner = await self.owner_of(address)
        # No user is called so: the password is looked at all the same.
        return await self.by_password(owner or "@", password, device)

    async def by_password(
        self, name: str, password: str, device: NewDevice
    ) -> LoggedIn:
        """Log in whoever *name* means.

        Raises:
            Forbidden: no such user, wrong password, or deactivated.
            UserLocked: an administrator has locked the account.
            InvalidParam: the password is too long to be one.
            LimitExceeded: too many passwords are being checked.
        """

        async def attempt() -> LoggedIn:
            user = await self.users.authenticate(name, password)
            # Checking it has taken its time: what was checked must still be so.
            return await self.devices.log_in(
                user.user_id, device, password_hash=user.password_hash
            )

        return await reread_on_conflict(attempt)

    async def by_token(self, token: str, device: NewDevice) -> LoggedIn:
        """Log in whoever a login token is from.

        Raises:
            Forbidden: the token is not valid, or no longer.
            UserLocked: an administrator has locked the account.
        """
        source = await self.tokens.redeem(token)

        async def attempt() -> LoggedIn:
            await self.tokens.check(source)
            await self.users.check_not_locked(source.user_id)
            return await self.devices.log_in(
                source.user_id, device, by_device_id=source.device_id
            )

        return await reread_on_conflict(attempt)
