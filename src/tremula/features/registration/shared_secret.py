"""Registration by whoever knows the operator's shared secret.

Not in the specification: scripts of operators and test suites know this endpoint from
Synapse, and it works while registration is closed.
"""

import hmac
import secrets
from typing import Final

from tremula.features.account.service import Accounts
from tremula.features.devices.service import Devices, LoggedIn, NewDevice
from tremula.infra.clock import Clock
from tremula.infra.db import Conflict
from tremula.infra.journal import Journal
from tremula.protocol.errors import Forbidden, InvalidParam, Unrecognized, UserInUse

NONCE_LIFETIME_S: Final = 60

_NONCE_BYTES: Final = 32
_NONCES_MAX: Final = 1000


class SharedSecretRegistration:
    """Makes accounts for requests that carry a MAC under the shared secret."""

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        accounts: Accounts,
        devices: Devices,
        shared_secret: str | None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._accounts = accounts
        self._devices = devices
        self._shared_secret = shared_secret
        self._nonces: dict[str, float] = {}

    def issue_nonce(self) -> str:
        """A nonce for one registration within a minute.

        Raises:
            Unrecognized: no shared secret is configured.
        """
        self._get_secret()
        now_s = self._clock.monotonic_s()
        self._nonces = {
            nonce: issued_s
            for nonce, issued_s in self._nonces.items()
            if now_s - issued_s < NONCE_LIFETIME_S
        }
        if len(self._nonces) >= _NONCES_MAX:
            del self._nonces[next(iter(self._nonces))]
        nonce = secrets.token_hex(_NONCE_BYTES)
        self._nonces[nonce] = now_s
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
        issued_s = self._nonces.pop(nonce, None)
        if issued_s is None or self._clock.monotonic_s() - issued_s >= NONCE_LIFETIME_S:
            raise InvalidParam("the nonce is unknown or has expired")
        parts = [nonce, username, password, "admin" if is_admin else "notadmin"]
        if user_type is not None:
            parts.append(user_type)
        expected = hmac.new(secret.encode(), "\0".join(parts).encode(), "sha1")
        if not hmac.compare_digest(expected.hexdigest().encode(), mac.encode()):
            raise Forbidden("the MAC is wrong")
        user_id = self._accounts.parse_new_localpart(username)
        user = await self._accounts.new_user(user_id, password, is_admin=is_admin)
        unit = self._journal.unit()
        self._accounts.add(unit, user)
        logged_in = self._devices.log_in(unit, user_id, NewDevice())
        try:
            await self._journal.commit(unit)
        except Conflict:
            raise UserInUse("this username is taken") from None
        return logged_in

    def _get_secret(self) -> str:
        if self._shared_secret is None:
            raise Unrecognized("registration by shared secret is not enabled")
        return self._shared_secret
