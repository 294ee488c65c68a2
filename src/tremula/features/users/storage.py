"""Queries on ``users`` (migrations/0003_accounts.sql, 0034_moderation.sql)."""

from collections.abc import Sequence
from typing import Final

from tremula.infra.db import Reader, Returned, Row, Unit
from tremula.protocol.identifiers import UserId
from tremula.protocol.unprinted import Unprinted

PAGE_MAX: Final = 500


class User(Unprinted, frozen=True):
    """A row of ``users``."""

    user_id: UserId
    password_hash: str | None
    created_ts_ms: int
    is_admin: bool
    is_guest: bool
    deactivated_ts_ms: int | None = None
    is_erased: bool = False
    is_locked: bool = False
    is_suspended: bool = False

    @property
    def is_deactivated(self) -> bool:
        """Whether the account is closed for good."""
        return self.deactivated_ts_ms is not None


def insert_user(unit: Unit, user: User) -> None:
    """Add a new user. A taken user ID fails the unit with ``Conflict``."""
    unit.run(
        """
        INSERT INTO users (user_id, password_hash, created_ts_ms, is_admin, is_guest,
                           erased, departing)
        VALUES (:user_id, :password_hash, :created_ts_ms, :is_admin, :is_guest, 0, 0)
        """,
        user_id=user.user_id,
        password_hash=user.password_hash,
        created_ts_ms=user.created_ts_ms,
        is_admin=int(user.is_admin),
        is_guest=int(user.is_guest),
    )


def update_password_hash(unit: Unit, user_id: UserId, password_hash: str) -> None:
    """Set the password, unless the account was deactivated meanwhile."""
    unit.run(
        """
        UPDATE users SET password_hash = :password_hash
        WHERE user_id = :user_id AND deactivated_ts_ms IS NULL
        """,
        user_id=user_id,
        password_hash=password_hash,
    )


def replace_password_hash(
    unit: Unit, user_id: UserId, *, old_hash: str, new_hash: str
) -> Returned:
    """Store the same password at another cost; no row if it was changed meanwhile."""
    return unit.returning(
        """
        UPDATE users SET password_hash = :new_hash
        WHERE user_id = :user_id AND password_hash = :old_hash
        RETURNING user_id
        """,
        user_id=user_id,
        old_hash=old_hash,
        new_hash=new_hash,
    )


def lock_user(unit: Unit, user_id: UserId) -> None:
    """Let *unit* wait for others that have locked the user, and they for it.

    It reads, so that it keeps its place before all that comes after it in the unit.
    """
    unit.returning(
        """
        UPDATE users SET is_admin = is_admin WHERE user_id = :user_id
        RETURNING user_id
        """,
        user_id=user_id,
    )


def lock_open_user(unit: Unit, user_id: UserId, *, password_hash: str | None) -> None:
    """As `lock_user`, of an account that may be used, with this password (None: any).

    If it is not so by then, the unit fails with ``Conflict``: the column is NOT NULL
    (see ``infra.rereading``).
    """
    unit.returning(
        """
        UPDATE users SET created_ts_ms = CASE
            WHEN deactivated_ts_ms IS NULL AND locked = 0
                AND COALESCE(password_hash, '')
                    = COALESCE(:password_hash, password_hash, '')
            THEN created_ts_ms END
        WHERE user_id = :user_id
        RETURNING user_id
        """,
        user_id=user_id,
        password_hash=password_hash,
    )


def update_is_admin(unit: Unit, user_id: UserId, *, is_admin: bool) -> None:
    """Make the user a server administrator, or no longer one."""
    unit.run(
        "UPDATE users SET is_admin = :is_admin WHERE user_id = :user_id",
        user_id=user_id,
        is_admin=int(is_admin),
    )


def update_is_locked(unit: Unit, user_id: UserId, *, is_locked: bool) -> None:
    """Lock the account, or unlock it."""
    unit.run(
        "UPDATE users SET locked = :locked WHERE user_id = :user_id",
        user_id=user_id,
        locked=int(is_locked),
    )


def update_is_suspended(unit: Unit, user_id: UserId, *, is_suspended: bool) -> None:
    """Suspend the account, or no longer."""
    unit.run(
        "UPDATE users SET suspended = :suspended WHERE user_id = :user_id",
        user_id=user_id,
        suspended=int(is_suspended),
    )


def update_deactivated(
    unit: Unit, user_id: UserId, *, ts_ms: int, is_erased: bool
) -> None:
    """Close the account: no password, no administrator, and rooms left to leave."""
    unit.run(
        """
        UPDATE users
        SET password_hash = NULL, is_admin = 0, departing = 1,
            deactivated_ts_ms = COALESCE(deactivated_ts_ms, :ts_ms),
            erased = CASE WHEN erased = 1 THEN 1 ELSE :erased END
        WHERE user_id = :user_id
        """,
        user_id=user_id,
        ts_ms=ts_ms,
        erased=int(is_erased),
    )


def update_departed(unit: Unit, user_id: UserId) -> None:
    """Record that a deactivated user has left every room."""
    unit.run("UPDATE users SET departing = 0 WHERE user_id = :user_id", user_id=user_id)


async def departing_users(
    db: Reader, *, after: UserId, closed_by_ms: int
) -> list[UserId]:
    """Users who may still be in rooms though their accounts were closed by then."""
    rows = await db.all(
        """
        SELECT user_id FROM users
        WHERE departing = 1 AND user_id > :after AND deactivated_ts_ms <= :closed_by_ms
        ORDER BY user_id LIMIT 100
        """,
        after=after,
        closed_by_ms=closed_by_ms,
    )
    return [UserId(user_id) for (user_id,) in rows]


async def users_by_id(db: Reader, user_ids: Sequence[UserId]) -> dict[UserId, User]:
    """Those of *user_ids* (at most 500) that exist."""
    rows = await db.all(
        """
        SELECT user_id, password_hash, created_ts_ms, is_admin, is_guest,
               deactivated_ts_ms, erased, locked, suspended
        FROM users WHERE user_id IN :user_ids
        """,
        user_ids=list(user_ids),
    )
    return {row[0]: _user(row) for row in rows}


async def users_after(db: Reader, user_id: str, *, limit: int) -> list[User]:
    """Users in order of their IDs, the first ones past *user_id*."""
    rows = await db.all(
        """
        SELECT user_id, password_hash, created_ts_ms, is_admin, is_guest,
               deactivated_ts_ms, erased, locked, suspended
        FROM users WHERE user_id > :user_id ORDER BY user_id LIMIT :limit
        """,
        user_id=user_id,
        limit=min(limit, PAGE_MAX),
    )
    return [_user(row) for row in rows]


async def ids_beginning(db: Reader, prefix: str, *, limit: int) -> list[UserId]:
    """The first user IDs that begin with *prefix*."""
    rows = await db.all(
        """
        SELECT user_id FROM users WHERE user_id >= :prefix AND user_id < :after
        ORDER BY user_id LIMIT :limit
        """,
        prefix=prefix,
        # Past the last character that there can be.
        after=f"{prefix}\U0010ffff",
        limit=limit,
    )
    return [UserId(user_id) for (user_id,) in rows]


async def is_any_called(db: Reader, prefix: str) -> bool:
    """Whether there is a user whose ID begins with *prefix*."""
    row = await db.first(
        """
        SELECT 1 FROM users WHERE user_id >= :prefix AND user_id < :after LIMIT 1
        """,
        prefix=prefix,
        after=prefix[:-1] + chr(ord(prefix[-1]) + 1),
    )
    return row is not None


def _user(row: Row) -> User:
    user_id, password_hash, created_ts_ms, is_admin, is_guest, deactivated, *flags = row
    is_erased, is_locked, is_suspended = map(bool, flags)
    return User(
        user_id=UserId(user_id),
        password_hash=password_hash,
        created_ts_ms=created_ts_ms,
        is_admin=bool(is_admin),
        is_guest=bool(is_guest),
        deactivated_ts_ms=deactivated,
        is_erased=is_erased,
        is_locked=is_locked,
        is_suspended=is_suspended,
    )
