"""Access and refresh tokens: issue, recognise, refresh, revoke.

Tokens are random and stored as SHA-256 only. Those in use are kept in memory, by
themselves: to hash one takes as long as all else that a request asks of it. What
revokes one announces it in the journal, and every process forgets the user's tokens.

Whatever adds or removes tokens of a user locks the user first: what is removed at the
same time in another process is then all that there is, and not all that there was.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from hashlib import sha256
from typing import Final

from msgspec import Struct

from tremula.features.sessions import storage
from tremula.features.sessions.storage import Grant
from tremula.features.users.service import User, Users
from tremula.infra.clock import Clock
from tremula.infra.config import Tokens
from tremula.infra.db import Reader
from tremula.infra.http import Requester, RequestingClient
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import UnknownToken
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.unprinted import Unprinted

TOPIC: Final = "tokens"
"""Announced with the user ID as key whenever tokens of that user are revoked."""

_ACCESS_PREFIX: Final = "trm_"
_REFRESH_PREFIX: Final = "trr_"
_TOKEN_BYTES: Final = 32
_CACHED_MAX: Final = 50_000
SEEN_EVERY_MS: Final = 60_000
"""How often the use of a device is recorded."""

_NEVER: Final = 2**63


class IssuedTokens(Unprinted, frozen=True):
    """What a client gets to know of a grant; ``expires_in_ms`` None: never."""

    access_token: str
    refresh_token: str | None
    expires_in_ms: int | None

    def body(self) -> dict[str, object]:
        """The keys of CS ``login``, ``register`` and ``refresh`` responses."""
        body: dict[str, object] = {"access_token": self.access_token}
        if self.refresh_token is not None:
            body["refresh_token"] = self.refresh_token
        if self.expires_in_ms is not None:
            body["expires_in_ms"] = self.expires_in_ms
        return body


class Sighting(Struct, frozen=True):
    """When and from where a device has made a request."""

    user_id: UserId
    device_id: DeviceId
    ts_ms: int
    ip: str
    user_agent: str


class _Session(Struct):
    """A valid access token in memory."""

    requester: Requester
    device_id: DeviceId
    expires_ts_ms: int
    seen_ts_ms: int = 0


class _NewSession(Unprinted, frozen=True):
    """One of a user made with it, from the commit until its position is told."""

    pos: int
    token: str
    session: _Session


class Sessions:
    """Knows users' tokens, and issues and revokes them.

    *on_sighting* is told of the use of each token, at most once a minute.
    """

    def __init__(
        self,
        *,
        db: Reader,
        journal: Journal,
        clock: Clock,
        users: Users,
        lifetimes: Tokens,
        on_sighting: Callable[[Sighting], None],
    ) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._users = users
        self._lifetimes = lifetimes
        self._on_sighting = on_sighting
        self._cached: OrderedDict[str, _Session] = OrderedDict()
        # {user id: {token id: token}}, of those.
        self._tokens_of: dict[UserId, dict[int, str]] = {}
        self._issued: dict[UserId, _NewSession] = {}
        self._revocations = 0
        journal.subscribe(TOPIC, self._forget_user)
        journal.on_forget(self._forget_all)

    async def authenticate(self, token: str, client: RequestingClient) -> Requester:
        """The owner of an access token. Without a query for tokens in use.

        Raises:
            UnknownToken: no such token, or it has expired (then a soft logout).
        """
        requester = self.recall(token, client)
        if requester is not None:
            return requester
        return self._use(token, await self._load(token), client)

    def recall(self, token: str, client: RequestingClient) -> Requester | None:
        """The owner of an access token in use; None if only `authenticate` can tell.

        Raises:
            UnknownToken: it has expired (a soft logout).
        """
        session = self._cached.get(token)
        return None if session is None else self._use(token, session, client)

    def is_current(self, requester: Requester) -> bool:
        """Whether *requester*, of a request before, would be the same now for certain:
        the token is in use, and nothing was announced of it or its owner.
        """
        tokens = self._tokens_of.get(requester.user_id)
        token = None if tokens is None else tokens.get(requester.token_id)
        session = None if token is None else self._cached.get(token)
        return (
            session is not None
            and session.requester is requester
            and self._clock.now_ms() < session.expires_ts_ms
        )

    def _use(
        self, token: str, session: _Session, client: RequestingClient
    ) -> Requester:
        now_ms = self._clock.now_ms()
        if now_ms >= session.expires_ts_ms:
            raise UnknownToken("the access token has expired", soft_logout=True)
        if now_ms - session.seen_ts_ms >= SEEN_EVERY_MS:
            session.seen_ts_ms = now_ms
            self._cached.move_to_end(token)
            self._on_sighting(
                Sighting(
                    user_id=session.requester.user_id,
                    device_id=session.device_id,
                    ts_ms=now_ms,
                    ip=client.client_ip,
                    user_agent=client.user_agent,
                )
            )
        return session.requester

    def issue(
        self,
        unit: JournalUnit,
        user_id: UserId,
        device_id: DeviceId,
        *,
        refreshable: bool,
        new_user: User | None = None,
        password_hash: str | None = None,
    ) -> IssuedTokens:
        """New tokens for a device, in place of all it had.

        "If the client sets the `device_id`, the server will invalidate any access and
        refresh tokens previously assigned to that device." Of a *new_user*, whom *unit*
        makes, they are in memory from the beginning. Of any other, the unit fails with
        ``Conflict`` if they may not log in by then, with this password (None: any).
        """
        if new_user is None:
            self._users.lock_open(unit, user_id, password_hash=password_hash)
            storage.delete_grants_of_devices(unit, user_id, [device_id])
        pos = unit.pos()
        unit.announce(TOPIC, user_id, None, pos=pos)
        tokens, grant = self._new_grant(
            pos, user_id, device_id, refreshable=refreshable
        )
        storage.insert_grant(unit, grant)
        if new_user is not None:
            issued = _NewSession(pos, tokens.access_token, _session_of(grant, new_user))
            self._remember_on_commit(unit, user_id, issued)
        return tokens

    async def refresh(self, refresh_token: str) -> IssuedTokens:
        """New tokens for a refresh token, which ends when one of them is used.

        Raises:
            UnknownToken: no such refresh token, revoked, or expired.
            UserLocked: an administrator has locked the account.
        """
        return await reread_on_conflict(lambda: self._refresh(refresh_token))

    async def _refresh(self, refresh_token: str) -> IssuedTokens:
        old = await storage.grant_by_refresh(self._db, _hash(refresh_token))
        if old is None:
            raise UnknownToken("unknown refresh token")
        expires_ts_ms = old.refresh_expires_ts_ms
        if expires_ts_ms is not None and self._clock.now_ms() >= expires_ts_ms:
            raise UnknownToken("the refresh token has expired", soft_logout=True)
        await self._users.check_not_locked(old.user_id)
        unit = self._journal.unit()
        self._users.lock_open(unit, old.user_id)
        storage.delete_successors(unit, old)
        if old.replaces_grant_id is not None:
            storage.update_used(unit, old)
        pos = unit.pos()
        unit.announce(TOPIC, old.user_id, None, pos=pos)
        tokens, grant = self._new_grant(
            pos,
            old.user_id,
            old.device_id,
            refreshable=True,
            replaces_grant_id=old.grant_id,
        )
        stored = storage.insert_successor(unit, grant)
        await self._journal.commit(unit)
        if not stored.rows:
            raise UnknownToken("the refresh token has been used")
        return tokens

    def lock(self, unit: JournalUnit, user_id: UserId) -> None:
        """Let *unit* wait for those of other processes that add or remove tokens of the
        user, and see what they have stored. To be called first.
        """
        self._users.lock(unit, user_id)

    def revoke_devices(
        self, unit: JournalUnit, user_id: UserId, device_ids: Sequence[DeviceId]
    ) -> None:
        """Make every token of the devices (at most 500) unknown. To be called first."""
        self._users.lock(unit, user_id)
        storage.delete_grants_of_devices(unit, user_id, device_ids)
        unit.announce(TOPIC, user_id, None, pos=unit.pos())

    def revoke_user(
        self,
        unit: JournalUnit,
        user_id: UserId,
        *,
        but_device_id: DeviceId | None = None,
    ) -> None:
        """Make every token of the user unknown, but those of one device. To be called
        first.
        """
        self._users.lock(unit, user_id)
        storage.delete_grants_of_user(unit, user_id, but_device_id=but_device_id)
        unit.announce(TOPIC, user_id, None, pos=unit.pos())

    def reload_user(self, unit: JournalUnit, user_id: UserId) -> None:
        """Let every process read anew what is kept of the user with their tokens."""
        unit.announce(TOPIC, user_id, None, pos=unit.pos())

    def _new_grant(
        self,
        grant_id: int,
        user_id: UserId,
        device_id: DeviceId,
        *,
        refreshable: bool,
        replaces_grant_id: int | None = None,
    ) -> tuple[IssuedTokens, Grant]:
        access_token = _ACCESS_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
        refresh_token = None
        access_lifetime_s = self._lifetimes.access_lifetime_s
        refresh_lifetime_s = None
        if refreshable:
            refresh_token = _REFRESH_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
            access_lifetime_s = self._lifetimes.refreshable_access_lifetime_s
            refresh_lifetime_s = self._lifetimes.refresh_lifetime_s
        expires_in_ms = None if access_lifetime_s is None else access_lifetime_s * 1000
        grant = Grant(
            grant_id=grant_id,
            user_id=user_id,
            device_id=device_id,
            access_hash=_hash(access_token),
            access_expires_ts_ms=self._expiry(access_lifetime_s),
            refresh_hash=_hash(refresh_token) if refresh_token else None,
            refresh_expires_ts_ms=self._expiry(refresh_lifetime_s),
            replaces_grant_id=replaces_grant_id,
        )
        return IssuedTokens(access_token, refresh_token, expires_in_ms), grant

    def _expiry(self, lifetime_s: int | None) -> int | None:
        return None if lifetime_s is None else self._clock.now_ms() + lifetime_s * 1000

    async def _load(self, token: str) -> _Session:
        access_hash = _hash(token)
        while True:
            revocations = self._revocations
            grant = await storage.grant_by_access(self._db, access_hash)
            if grant is None:
                raise UnknownToken("unknown access token")
            if grant.replaces_grant_id is not None:
                unit = self._journal.unit()
                storage.update_used(unit, grant)
                unit.announce(TOPIC, grant.user_id, None, pos=unit.pos())
                await self._journal.commit(unit)
                continue
            user = await self._users.find(grant.user_id)
            if user is None or user.is_deactivated:
                raise UnknownToken("unknown access token")
            session = _session_of(grant, user)
            # Nothing may be kept that was revoked while it was read.
            if revocations == self._revocations:
                break
        self._remember(token, session)
        return session

    def _remember_on_commit(
        self, unit: JournalUnit, user_id: UserId, issued: _NewSession
    ) -> None:
        before = self._journal.changed_pos(TOPIC, user_id)

        def keep() -> None:
            # Another process may have revoked it by now.
            if self._journal.changed_pos(TOPIC, user_id) == before:
                self._issued[user_id] = issued

        unit.on_commit(keep)

    def _remember(self, token: str, session: _Session) -> None:
        self._cached[token] = session
        requester = session.requester
        tokens = self._tokens_of.setdefault(requester.user_id, {})
        tokens[requester.token_id] = token
        while len(self._cached) > _CACHED_MAX:
            _, old = self._cached.popitem(last=False)
            user_id = old.requester.user_id
            tokens = self._tokens_of[user_id]
            tokens.pop(old.requester.token_id, None)
            if not tokens:
                del self._tokens_of[user_id]

    def _forget_all(self) -> None:
        self._revocations += 1
        self._cached.clear()
        self._tokens_of.clear()
        self._issued.clear()

    def _forget_user(self, pos: int, key: Hashable, _payload: object) -> None:
        self._revocations += 1
        assert isinstance(key, str)
        user_id = UserId(key)
        for token in self._tokens_of.pop(user_id, {}).values():
            self._cached.pop(token, None)
        issued = self._issued.pop(user_id, None)
        if issued is not None and issued.pos == pos:
            self._remember(issued.token, issued.session)


def _session_of(grant: Grant, user: User) -> _Session:
    requester = Requester(
        user_id=grant.user_id,
        device_id=grant.device_id,
        is_guest=user.is_guest,
        token_id=grant.grant_id,
        is_admin=user.is_admin,
        is_locked=user.is_locked,
        is_suspended=user.is_suspended,
    )
    expires_ts_ms = grant.access_expires_ts_ms
    return _Session(
        requester,
        grant.device_id,
        _NEVER if expires_ts_ms is None else expires_ts_ms,
    )


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
