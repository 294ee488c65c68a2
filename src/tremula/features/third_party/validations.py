"""Proving that an e-mail address is somebody's, by a token that is mailed there.

Who asks is answered alike whether an account has the address or not, unless the
operator wants it otherwise: the mail says so, and there is one in each case.
"""

import asyncio
import hmac
import re
import secrets
from hashlib import sha256
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.features.third_party import storage
from tremula.features.third_party.letters import Invitation, Letters
from tremula.features.third_party.links import find_next_link
from tremula.features.third_party.service import ThirdPartyIds, in_use
from tremula.features.third_party.storage import Purpose, Session
from tremula.infra.config import ThirdParty
from tremula.infra.db import Unit
from tremula.infra.locks import KeyedLocks
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.errors import InvalidParam, ThreepidAuthFailed, ThreepidNotFound
from tremula.protocol.identifiers import UserId
from tremula.protocol.unprinted import Unprinted

LIFETIME_MS: Final = 4 * 3600 * 1000
INVITES_KEPT_MS: Final = 90 * 24 * 3600 * 1000

_NOT_PROVED: Final = (
    "The e-mail address has not been confirmed: follow the link in the message."
)
_SWEEP_EVERY_S: Final = 3600
_TOKEN_BYTES: Final = 32
_SID_BYTES: Final = 24
_CLIENT_SECRET: Final = re.compile(r"[0-9a-zA-Z.=_-]{1,255}")
_SEND_ATTEMPT_MAX: Final = 2**53 - 1


class EmailRequest(Unprinted, frozen=True, kw_only=True):
    """What a client asks for in ``…/email/requestToken``."""

    purpose: Purpose
    address: EmailAddress
    client_secret: str
    send_attempt: int
    next_link: str | None = None


class Validations(Struct, frozen=True):
    """Sessions in which addresses are proved. Only hashes of secrets are stored."""

    ids: ThirdPartyIds
    letters: Letters
    settings: ThirdParty
    locks: KeyedLocks[tuple[str, ...]]

    async def begin(self, request: EmailRequest) -> str:
        """Have a mail sent, unless that was done for this ``send_attempt``; the sid.

        Raises:
            ThreepidMediumNotSupported: there is no mail here.
            ThreepidInUse, ThreepidNotFound: if who asks may be told so.
            InvalidParam: a secret or attempt that is none.
            LimitExceeded: the address gets too many mails.
            Unknown: (502) the mail can't be sent.
        """
        self.letters.check_possible()
        if not _CLIENT_SECRET.fullmatch(request.client_secret):
            raise InvalidParam("client_secret must be 1 to 255 of 0-9 a-z A-Z . = _ -")
        if not 0 <= request.send_attempt <= _SEND_ATTEMPT_MAX:
            raise InvalidParam("send_attempt must be a positive integer")
        secret_hash = _hash(request.client_secret)
        key = (request.purpose, request.address, secret_hash.hex())
        async with self.locks.of(key):
            return await self._begin(request, secret_hash)

    async def _begin(self, request: EmailRequest, secret_hash: bytes) -> str:
        ids = self.ids
        now_ms = ids.clock.now_ms()
        known = await storage.find_session_of(
            ids.db, request.purpose, request.address, secret_hash
        )
        if known is not None and known.expires_ts_ms <= now_ms:
            known = None
        if known is not None and known.send_attempt >= request.send_attempt:
            return known.sid
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        session = Session(
            sid=known.sid if known else secrets.token_urlsafe(_SID_BYTES),
            purpose=request.purpose,
            address=request.address,
            secret_hash=secret_hash,
            token_hash=_hash(token),
            next_link=find_next_link(request.next_link, self.settings.next_link_hosts),
            send_attempt=request.send_attempt,
            expires_ts_ms=now_ms + LIFETIME_MS,
        )
        session = await self._write_to(session, token)
        unit = ids.journal.unit()
        storage.upsert_session(unit, session)
        await ids.journal.commit(unit)
        return session.sid

    async def _write_to(self, session: Session, token: str) -> Session:
        """Send the mail that fits; the session as it is to be stored."""
        address = session.address
        has_owner = await self.ids.owner_of(address) is not None
        if has_owner == (session.purpose is Purpose.RESET):
            await self.letters.send_token(session, token)
            return session
        if has_owner:
            if self.settings.reveals_accounts:
                raise in_use()
            await self.letters.send_in_use(address)
        else:
            if self.settings.reveals_accounts:
                raise ThreepidNotFound("No account has this address.")
            await self.letters.send_unknown(address)
        return replace(session, token_hash=None)

    async def revealed_owner(self, address: EmailAddress) -> UserId | None:
        """The user who has *address*, if anybody may be told so."""
        if not self.settings.reveals_accounts:
            return None
        return await self.ids.owner_of(address)

    async def offer(self, address: EmailAddress, invitation: Invitation) -> None:
        """Send an invitation to who has *address*, with a link by which they take it.

        Raises:
            MatrixError: the mail can't be sent.
        """
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        session = Session(
            sid=secrets.token_urlsafe(_SID_BYTES),
            purpose=Purpose.INVITE,
            address=address,
            # Which no client knows: it proves nothing.
            secret_hash=_hash(secrets.token_urlsafe(_TOKEN_BYTES)),
            token_hash=_hash(token),
            next_link=None,
            send_attempt=0,
            expires_ts_ms=self.ids.clock.now_ms() + INVITES_KEPT_MS,
        )
        await self.letters.send_owner_invitation(session, token, invitation)
        unit = self.ids.journal.unit()
        storage.upsert_session(unit, session)
        await self.ids.journal.commit(unit)

    async def find(self, sid: str, token: str) -> Session | None:
        """The session that *token* was mailed for, while it can be used."""
        session = await storage.find_session(self.ids.db, sid)
        if session is None or session.token_hash is None:
            return None
        if session.expires_ts_ms <= self.ids.clock.now_ms():
            return None
        is_right = hmac.compare_digest(session.token_hash, _hash(token))
        return session if is_right else None

    async def confirm(self, sid: str, token: str) -> Session | None:
        """The address of a session is proved by *token*; None if it is wrong."""
        session = await self.find(sid, token)
        if session is not None:
            unit = self.ids.journal.unit()
            storage.update_validated(unit, sid, ts_ms=self.ids.clock.now_ms())
            await self.ids.journal.commit(unit)
        return session

    async def proved(self, purpose: Purpose, sid: str, client_secret: str) -> Session:
        """The session in which an address was proved for *purpose*, to be handed to
        `use`.

        Raises:
            ThreepidAuthFailed: it is not proved, or it was used up.
        """
        session = await storage.find_session(self.ids.db, sid)
        if (
            session is None
            or session.purpose is not purpose
            or session.validated_ts_ms is None
            or session.expires_ts_ms <= self.ids.clock.now_ms()
            or not hmac.compare_digest(session.secret_hash, _hash(client_secret))
        ):
            raise ThreepidAuthFailed(_NOT_PROVED)
        return session

    def use(self, unit: Unit, session: Session) -> None:
        """Use a session up in the unit that stores what it proves; that fails with
        ``Conflict`` if it was by then (see ``infra.rereading``).
        """
        storage.use_session(unit, session)

    async def run(self) -> None:
        """Forget what is old once an hour, for the supervisor. All processes do, to no
        harm.
        """
        while True:
            await self.sweep()
            await asyncio.sleep(_SWEEP_EVERY_S)

    async def sweep(self) -> None:
        """Forget sessions of the past, and invitations that nobody has followed."""
        now_ms = self.ids.clock.now_ms()
        unit = self.ids.journal.unit()
        storage.delete_expired_sessions(unit, now_ms)
        storage.delete_invites_before(unit, now_ms - INVITES_KEPT_MS)
        await self.ids.journal.commit(unit)


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
