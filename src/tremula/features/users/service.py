"""Our own users: who they are, and whether they know their password."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.features.users import storage
from tremula.features.users.passwords import (
    Passwords,
    check_new_password,
    check_password_size,
)
from tremula.features.users.storage import User
from tremula.infra.db import Reader, Unit
from tremula.infra.journal import Journal
from tremula.protocol.errors import Forbidden, NotFound, UserLocked
from tremula.protocol.identifiers import ServerName, UserId

__all__ = ["Passwords", "User", "Users", "check_new_password", "check_password_size"]

_IDS_PER_QUERY: Final = 500

_WRONG: Final = "invalid username or password"
_LOCKED: Final = "this account has been locked"


class Users(Struct, frozen=True):
    """Reads the user records and checks passwords."""

    db: Reader
    journal: Journal
    passwords: Passwords
    server_name: ServerName

    def id_of(self, localpart: str) -> UserId:
        """The user ID of *localpart* on this server."""
        return UserId(f"@{localpart}:{self.server_name}")

    async def find(self, user_id: UserId) -> User | None:
        """The user, deactivated or not; None for those of other servers."""
        return (await storage.users_by_id(self.db, [user_id])).get(user_id)

    async def is_active(self, user_id: UserId) -> bool:
        """Whether there is such a user, who is not deactivated."""
        user = await self.find(user_id)
        return user is not None and not user.is_deactivated

    async def get(self, user_id: UserId) -> User:
        """The user, deactivated or not.

        Raises:
            NotFound: there is no such user.
        """
        user = await self.find(user_id)
        if user is None:
            raise NotFound(f"no user {user_id} on this server")
        return user

    async def check_not_locked(self, user_id: UserId) -> None:
        """Refuse a user whom an administrator has locked out.

        Raises:
            UserLocked: that is so.
        """
        user = await self.find(user_id)
        if user is not None and user.is_locked:
            raise UserLocked(_LOCKED)

    async def guests_among(self, user_ids: Sequence[UserId]) -> list[UserId]:
        """Those of *user_ids* who are guests."""
        guests = []
        for start in range(0, len(user_ids), _IDS_PER_QUERY):
            part = user_ids[start : start + _IDS_PER_QUERY]
            found = await storage.users_by_id(self.db, part)
            guests += [user.user_id for user in found.values() if user.is_guest]
        return guests

    async def known_among(self, user_ids: Sequence[UserId]) -> set[UserId]:
        """Those of *user_ids* (at most 500) that there is an account of, or was."""
        return set(await storage.users_by_id(self.db, user_ids))

    async def listed_among(self, user_ids: Sequence[UserId]) -> set[UserId]:
        """Those of *user_ids* (at most 500) whose accounts are in use: neither
        deactivated nor locked.
        """
        found = await storage.users_by_id(self.db, user_ids)
        return {
            user.user_id
            for user in found.values()
            if not (user.is_deactivated or user.is_locked)
        }

    async def beginning(self, localpart: str, *, limit: int) -> list[UserId]:
        """The first users whose localparts begin with *localpart*."""
        return await storage.ids_beginning(self.db, f"@{localpart}", limit=limit)

    async def find_by_name(self, name: str) -> User | None:
        """The user whom people mean by a user ID or localpart, in any case of letters.

        The exact spelling comes first: historical user IDs may hold capitals.
        """
        exact = UserId(name) if name.startswith("@") else self.id_of(name)
        localpart, _, server_name = exact.partition(":")
        folded = UserId(f"{localpart.lower()}:{server_name}")
        found = await storage.users_by_id(self.db, [exact, folded])
        return found.get(exact) or found.get(folded)

    async def authenticate(self, name: str, password: str) -> User:
        """The user called *name*, who has given the right password.

        Tells by neither words nor time whether there is such a user.

        Raises:
            Forbidden: no such user, wrong password, or deactivated.
            UserLocked: an administrator has locked the account.
            InvalidParam: the password is too long to be one.
            LimitExceeded: too many passwords are being checked.
        """
        check_password_size(password)
        user = await self.find_by_name(name)
        password_hash = user.password_hash if user else None
        matches = await self.passwords.verify(password_hash, password)
        if user is None or password_hash is None or not matches:
            raise Forbidden(_WRONG)
        if user.is_locked:
            raise UserLocked(_LOCKED)
        if not self.passwords.is_outdated(password_hash):
            return user
        unit = self.journal.unit()
        new_hash = await self.passwords.hash(password)
        replaced = storage.replace_password_hash(
            unit, user.user_id, old_hash=password_hash, new_hash=new_hash
        )
        await self.journal.commit(unit)
        if not replaced.rows:
            # Somebody was faster, perhaps with another password.
            return await self.authenticate(name, password)
        return replace(user, password_hash=new_hash)

    async def check_unchanged(self, user: User) -> None:
        """Refuse *user*, whom `authenticate` has returned, if it would not any more.

        Raises:
            Forbidden: the password was changed, or the account is deactivated.
            UserLocked: an administrator has locked the account.
        """
        now = await self.find(user.user_id)
        if now is None or now.password_hash != user.password_hash:
            raise Forbidden(_WRONG)
        if now.is_locked:
            raise UserLocked(_LOCKED)

    async def page_after(self, user_id: str, *, limit: int) -> list[User]:
        """Users in order of their IDs, at most 500, the first ones past *user_id*."""
        return await storage.users_after(self.db, user_id, limit=limit)

    async def is_any_called(self, prefix: str) -> bool:
        """Whether there is a user, or was, whose ID begins with *prefix*."""
        return await storage.is_any_called(self.db, prefix)

    def add(self, unit: Unit, user: User) -> None:
        """Add a user. A taken user ID fails the unit with ``Conflict``."""
        storage.insert_user(unit, user)

    def lock(self, unit: Unit, user_id: UserId) -> None:
        """Let *unit* wait for those of other processes that have locked the user, and
        see what they have stored. To be called first.
        """
        storage.lock_user(unit, user_id)

    def lock_open(
        self, unit: Unit, user_id: UserId, *, password_hash: str | None = None
    ) -> None:
        """As `lock`. The unit fails with ``Conflict`` if the account may not be used by
        then, or has another password than *password_hash* (None: any).
        """
        storage.lock_open_user(unit, user_id, password_hash=password_hash)

    def set_password_hash(
        self, unit: Unit, user_id: UserId, password_hash: str
    ) -> None:
        """Set the password of an account that is not deactivated."""
        storage.update_password_hash(unit, user_id, password_hash)

    def set_is_admin(self, unit: Unit, user_id: UserId, *, is_admin: bool) -> None:
        """Make the user a server administrator, or no longer one."""
        storage.update_is_admin(unit, user_id, is_admin=is_admin)

    def set_is_locked(self, unit: Unit, user_id: UserId, *, is_locked: bool) -> None:
        """Lock the account, or unlock it."""
        storage.update_is_locked(unit, user_id, is_locked=is_locked)

    def set_is_suspended(
        self, unit: Unit, user_id: UserId, *, is_suspended: bool
    ) -> None:
        """Suspend the account, or no longer."""
        storage.update_is_suspended(unit, user_id, is_suspended=is_suspended)

    def deactivate(
        self, unit: Unit, user_id: UserId, *, ts_ms: int, is_erased: bool
    ) -> None:
        """Close the account for good; the user is departing from then on."""
        storage.update_deactivated(unit, user_id, ts_ms=ts_ms, is_erased=is_erased)

    async def departing(self, *, after: UserId, closed_by_ms: int) -> list[UserId]:
        """Users who may still be in rooms though their accounts were closed by then,
        in order of their IDs, the first 100 past *after*.
        """
        return await storage.departing_users(
            self.db, after=after, closed_by_ms=closed_by_ms
        )

    def set_departed(self, unit: Unit, user_id: UserId) -> None:
        """Record that a deactivated user is in no room any more."""
        storage.update_departed(unit, user_id)
