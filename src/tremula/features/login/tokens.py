"""Tokens with which a device logs in another one (CS "Token-based login")."""

import secrets
from hashlib import sha256
from typing import Final

from msgspec import Struct

from tremula.features.devices.service import Devices
from tremula.features.login import storage
from tremula.features.uia.service import digest_of
from tremula.infra.clock import Clock
from tremula.infra.journal import Journal
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import Forbidden, NotFound
from tremula.protocol.identifiers import DeviceId, UserId

# CS generateLoginToken: "recommended as a default".
LIFETIME_MS: Final = 120_000

_TOKEN_BYTES: Final = 32


_REFUSED: Final = "the login token is not valid"


class TokenSource(Struct, frozen=True):
    """The device that a token is from."""

    user_id: UserId
    device_id: DeviceId


class LoginTokens(Struct, frozen=True):
    """Issues tokens, each good for one login while its device is logged in."""

    journal: Journal
    clock: Clock
    devices: Devices

    async def issue(self, user_id: UserId, device_id: DeviceId, auth: object) -> str:
        """A token of *user_id*, who has to prove every time who they are.

        Raises:
            UiaRequired: they have not, or not yet.
            BadJson: *auth* is malformed.
        """
        uia = self.devices.uia
        proof = await uia.require(
            user_id, "generateLoginToken", auth, digest_of({"device_id": device_id})
        )
        token = secrets.token_urlsafe(_TOKEN_BYTES)

        async def attempt() -> None:
            now_ms = self.clock.now_ms()
            unit = await uia.unit_by(proof)
            storage.delete_expired_tokens(unit, now_ms)
            storage.insert_token(
                unit,
                _hash(token),
                user_id,
                device_id,
                expires_ts_ms=now_ms + LIFETIME_MS,
            )
            await self.journal.commit(unit)

        await reread_on_conflict(attempt)
        return token

    async def redeem(self, token: str) -> TokenSource:
        """Whose token this is; it is worth nothing from now on.

        Raises:
            Forbidden: there is no such token, or it was used, or has expired.
        """
        unit = self.journal.unit()
        taken = storage.take_token(unit, _hash(token))
        await self.journal.commit(unit)
        if not taken.rows:
            raise Forbidden(_REFUSED)
        [(user_id, device_id, expires_ts_ms)] = taken.rows
        if expires_ts_ms <= self.clock.now_ms():
            raise Forbidden(_REFUSED)
        return TokenSource(UserId(user_id), DeviceId(device_id))

    async def check(self, source: TokenSource) -> None:
        """Refuse a token whose device is gone.

        Raises:
            Forbidden: it is.
        """
        try:
            await self.devices.get(source.user_id, source.device_id)
        except NotFound:
            raise Forbidden(_REFUSED) from None


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
