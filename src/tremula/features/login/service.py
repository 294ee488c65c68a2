"""Logging in and out with the legacy API."""

from dataclasses import dataclass

from tremula.features.devices.service import Devices, LoggedIn, NewDevice
from tremula.features.users.service import Users
from tremula.infra.journal import Journal


@dataclass(frozen=True, slots=True)
class Logins:
    """Turns a name and a password into a device with tokens."""

    journal: Journal
    users: Users
    devices: Devices

    async def by_password(
        self, name: str, password: str, device: NewDevice
    ) -> LoggedIn:
        """Log in whoever *name* means.

        Raises:
            Forbidden: no such user, wrong password, or deactivated.
            InvalidParam: the password is too long to be one.
            LimitExceeded: too many passwords are being checked.
        """
        user = await self.users.authenticate(name, password)
        unit = self.journal.unit()
        logged_in = self.devices.log_in(unit, user.user_id, device)
        await self.journal.commit(unit)
        return logged_in
