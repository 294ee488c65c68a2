"""Issues tokens to users, and says to anyone who has one whose it is."""

import secrets
from hashlib import sha256
from typing import Final

from msgspec import Struct

from tremula.features.openid import storage
from tremula.features.users.service import Users
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.errors import UnknownToken
from tremula.protocol.identifiers import ServerName, UserId

LIFETIME_S: Final = 3600

_TOKEN_BYTES: Final = 32


class OpenIdTokens(Struct, frozen=True):
    """The tokens are good for `owner` and nothing else."""

    db: Reader
    journal: Journal
    clock: Clock
    users: Users
    server_name: ServerName

    async def issue(self, user_id: UserId) -> str:
        """A new token of *user_id*, for `LIFETIME_S`."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now_ms = self.clock.now_ms()
        unit = self.journal.unit()
        storage.delete_expired_tokens(unit, now_ms)
        storage.insert_token(
            unit, _hash(token), user_id, expires_ts_ms=now_ms + LIFETIME_S * 1000
        )
        await self.journal.commit(unit)
        return token

    async def owner(self, token: str) -> UserId:
        """Whose token this is.

        Raises:
            UnknownToken: there is no such token, it has expired, or its owner is gone.
        """
        now_ms = self.clock.now_ms()
        user_id = await storage.find_owner(self.db, _hash(token), now_ms=now_ms)
        user = None if user_id is None else await self.users.find(user_id)
        if user is None or user.is_deactivated or user.is_locked:
            raise UnknownToken("the token is not known, or has expired")
        return user.user_id


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
