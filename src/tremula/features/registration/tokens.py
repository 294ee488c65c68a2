"""Registration tokens (CS "Token-authenticated registration")."""

import secrets
from typing import Final

from msgspec import Struct

from tremula.features.registration import storage
from tremula.features.registration.storage import RegistrationToken
from tremula.features.uia.service import Attempt, Proof
from tremula.infra.clock import Clock
from tremula.infra.db import Conflict, Reader, Unit
from tremula.infra.journal import Journal
from tremula.protocol.errors import Forbidden, InvalidParam
from tremula.protocol.identifiers import UserId, is_opaque_id

TOKEN_CHARS_MAX: Final = 64

_TOKEN_BYTES: Final = 12


class RegistrationTokens(Struct, frozen=True):
    """Tokens that operators hand out to those who may register."""

    db: Reader
    journal: Journal
    clock: Clock

    async def is_valid(self, token: str) -> bool:
        """Whether an account could be made with *token* now."""
        found = await storage.find_token(self.db, token)
        return found is not None and found.is_valid(self.clock.now_ms())

    async def check(self, _user_id: UserId | None, attempt: Attempt) -> Proof:
        """The stage ``m.login.registration_token``: proves the token.

        Raises:
            Forbidden: the token is unknown, used up or expired.
            BadJson: the attempt is malformed.
        """
        token = attempt.string("token")
        if not await self.is_valid(token):
            raise Forbidden("the registration token is not valid")
        return Proof(token)

    def use(self, unit: Unit, token: str) -> None:
        """Count a use in the unit that makes the account, or fail that unit with
        ``Conflict``: the stage may have been completed half an hour ago.
        """
        storage.update_used(unit, token, now_ms=self.clock.now_ms())

    async def create(
        self,
        token: str | None = None,
        *,
        uses_allowed: int | None = None,
        expires_ts_ms: int | None = None,
    ) -> RegistrationToken:
        """Add a token for an operator, a random one if none is named.

        Raises:
            InvalidParam: the token exists, or is not an opaque identifier of at most
                64 characters.
        """
        token = secrets.token_urlsafe(_TOKEN_BYTES) if token is None else token
        if not is_opaque_id(token) or len(token) > TOKEN_CHARS_MAX:
            raise InvalidParam(
                f"a token has 1 to {TOKEN_CHARS_MAX} characters of 0-9 A-Z a-z - . _ ~"
            )
        created = RegistrationToken(
            token, uses_allowed, 0, expires_ts_ms, self.clock.now_ms()
        )
        unit = self.journal.unit()
        storage.insert_token(unit, created)
        try:
            await self.journal.commit(unit)
        except Conflict:
            raise InvalidParam("this token exists") from None
        return created

    async def all(self) -> list[RegistrationToken]:
        """The newest 500 tokens, valid or not."""
        return await storage.all_tokens(self.db)

    async def delete(self, token: str) -> None:
        """Remove a token; the accounts made with it stay."""
        unit = self.journal.unit()
        storage.delete_token(unit, token)
        await self.journal.commit(unit)
