"""Registration by whoever knows the operator's shared secret.

Not in the specification: scripts of operators and test suites know this endpoint from
Synapse, and it works while registration is closed.
"""

import hmac
import secrets
from hashlib import sha256
from typing import Final

from msgspec import Struct

from tremula.features.account.service import Accounts
from tremula.features.devices.service import Devices, LoggedIn, NewDevice
from tremula.features.registration import storage
from tremula.infra.clock import Clock
from tremula.infra.db import Conflict
from tremula.infra.journal import Journal
from tremula.protocol.errors import Forbidden, InvalidParam, Unrecognized, UserInUse

NONCE_LIFETIME_S: Final = 60
NONCES_MAX: Final = 1000

_NONCE_BYTES: Final = 32


class SharedSecretRegistration(Struct, frozen=True):
    """Makes accounts for requests that carry a MAC under the shared secret."""

    journal: Journal
    clock: Clock
    accounts: Accounts
    devices: Devices
    shared_secret: str | None

    async def issue_nonce(self) -> str:
        """A nonce for one registration within a minute.

        Raises:
            Unrecognized: no shared secret is configured.
        """
        self._get_secret()
        now_ms = self.clock.now_ms()
        nonce = secrets.token_hex(_NONCE_BYTES)
        unit = self.journal.unit()
        storage.delete_expired_nonces(unit, now_ms, kept_max=NONCES_MAX - 1)
        storage.insert_nonce(
            unit, _hash(nonce), expires_ts_ms=now_ms + NONCE_LIFETIME_S * 1000
        )
        await self.journal.commit(unit)
        return nonce

    async def register(
        self,
        *,
        nonce: str,
        username: str,
        password: str,
        is_admin: bool,
        user_type: str | None,
        mac: str,
    ) -> LoggedIn:
        """Make an account and log in; each nonce works once.

        Raises:
            Unrecognized: no shared secret is configured.
            InvalidParam: the nonce is unknown or has expired, or a value is bad.
            Forbidden: the MAC is wrong.
            InvalidUsername, UserInUse: see the message.
        """
        secret = self._get_secret()
        if not await self._take(nonce):
            raise InvalidParam("the nonce is unknown or has expired")
        parts = [nonce, username, password, "admin" if is_admin else "notadmin"]
        if user_type is not None:
            parts.append(user_type)
        expected = hmac.new(secret.encode(), "\0".join(parts).encode(), "sha1")
        if not hmac.compare_digest(expected.hexdigest().encode(), mac.encode()):
            raise Forbidden("the MAC is wrong")
        user_id = self.accounts.parse_new_localpart(username)
        user = await self.accounts.new_user(user_id, password, is_admin=is_admin)
        unit = self.journal.unit()
        self.accounts.add(unit, user)
        logged_in = self.devices.log_in_new(unit, user, NewDevice())
        try:
            await self.journal.commit(unit)
        except Conflict:
            raise UserInUse("this username is taken") from None
        return logged_in

    async def _take(self, nonce: str) -> bool:
        unit = self.journal.unit()
        taken = storage.take_nonce(unit, _hash(nonce))
        await self.journal.commit(unit)
        return any(self.clock.now_ms() < expires for (expires,) in taken.rows)

    def _get_secret(self) -> str:
        if self.shared_secret is None:
            raise Unrecognized("registration by shared secret is not enabled")
        return self.shared_secret


def _hash(nonce: str) -> bytes:
    return sha256(nonce.encode()).digest()
