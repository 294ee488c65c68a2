"""Queries on backups of room keys (created in migrations/0023_key_backup.sql).

Whoever changes the sessions of a version locks its row first (`lock_version`) and
counts last, in one unit: so processes that share a PostgreSQL take turns.
"""

from collections.abc import Sequence

from msgspec import Struct

from tremula.infra.db import Reader, Returned, Unit
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.key_backup import BackedUpSession


class Scope(Struct, frozen=True):
    """Which sessions of a backup: all, those of a room, or one of them."""

    room_id: RoomId | None = None
    session_id: str | None = None


class StoredVersion(Struct, frozen=True):
    """A row of ``key_backup_versions``."""

    version: int
    algorithm: str
    auth_data: bytes
    is_deleted: bool
    etag: int
    session_count: int


class Newest(Struct, frozen=True):
    """The number of the newest version there ever was, and of that to be written to."""

    ever: int
    current: int | None


# Versions


def insert_version(
    unit: Unit, user_id: UserId, algorithm: str, auth_data: bytes
) -> Returned:
    """Begin a version, above all there were: ``(version,)``."""
    return unit.returning(
        """
        INSERT INTO key_backup_versions (user_id, version, algorithm, auth_data,
                                         is_deleted, etag, session_count)
        SELECT CAST(:user_id AS TEXT), COALESCE(MAX(version), 0) + 1,
            CAST(:algorithm AS TEXT), :auth_data, 0, 0, 0
        FROM key_backup_versions WHERE user_id = :user_id
        RETURNING version
        """,
        user_id=user_id,
        algorithm=algorithm,
        auth_data=auth_data,
    )


async def find_version(
    db: Reader, user_id: UserId, version: int
) -> StoredVersion | None:
    """A version, unless it is deleted."""
    row = await db.first(
        """
        SELECT version, algorithm, auth_data, is_deleted, etag, session_count
        FROM key_backup_versions
        WHERE user_id = :user_id AND version = :version AND is_deleted = 0
        """,
        user_id=user_id,
        version=version,
    )
    return StoredVersion(*row) if row else None


async def newest_versions(db: Reader, user_id: UserId) -> Newest:
    """Which versions are the newest; 0 and None if there was none."""
    row = await db.first(
        """
        SELECT MAX(version), MAX(CASE WHEN is_deleted = 0 THEN version END)
        FROM key_backup_versions WHERE user_id = :user_id
        """,
        user_id=user_id,
    )
    assert row is not None, "MAX has a row in any case"
    ever, current = row
    return Newest(ever or 0, current)


async def count_versions(db: Reader, user_id: UserId) -> int:
    """How many versions the user has."""
    row = await db.first(
        """
        SELECT COUNT(*) FROM key_backup_versions
        WHERE user_id = :user_id AND is_deleted = 0
        """,
        user_id=user_id,
    )
    assert row is not None, "COUNT has a row in any case"
    count: int = row[0]
    return count


def update_auth_data(
    unit: Unit, user_id: UserId, version: int, auth_data: bytes
) -> Returned:
    """Replace ``auth_data``: ``(version,)``, or no row if there is no such version."""
    return unit.returning(
        """
        UPDATE key_backup_versions SET auth_data = :auth_data
        WHERE user_id = :user_id AND version = :version AND is_deleted = 0
        RETURNING version
        """,
        user_id=user_id,
        version=version,
        auth_data=auth_data,
    )


def lock_version(unit: Unit, user_id: UserId, version: int) -> None:
    """Keep other processes from changing the version until the unit is stored."""
    unit.run(
        """
        UPDATE key_backup_versions SET etag = etag
        WHERE user_id = :user_id AND version = :version
        """,
        user_id=user_id,
        version=version,
    )


def delete_version(unit: Unit, user_id: UserId, version: int) -> None:
    """Remove a version and its sessions; the greatest number is not forgotten."""
    unit.run(
        """
        UPDATE key_backup_versions
        SET is_deleted = 1, algorithm = '', auth_data = :nothing, session_count = 0
        WHERE user_id = :user_id AND version = :version
        """,
        user_id=user_id,
        version=version,
        nothing=b"",
    )
    unit.run(
        """
        DELETE FROM key_backup_versions
        WHERE user_id = :user_id AND is_deleted = 1 AND version < (
            SELECT MAX(newer.version) FROM key_backup_versions newer
            WHERE newer.user_id = :user_id
        )
        """,
        user_id=user_id,
    )
    unit.run(
        """
        DELETE FROM key_backup_sessions
        WHERE user_id = :user_id AND version = :version
        """,
        user_id=user_id,
        version=version,
    )


def delete_user(unit: Unit, user_id: UserId) -> None:
    """Remove all backups of a user."""
    unit.run(
        "DELETE FROM key_backup_versions WHERE user_id = :user_id", user_id=user_id
    )
    unit.run(
        "DELETE FROM key_backup_sessions WHERE user_id = :user_id", user_id=user_id
    )


# Sessions


def upsert_sessions(
    unit: Unit, user_id: UserId, version: int, sessions: Sequence[BackedUpSession]
) -> None:
    """Store keys in a version that is not deleted, where they are better.

    "if the keys have different values for is_verified, then it will keep the key that
    has is_verified set to true; if they have the same values for is_verified, then it
    will keep the key with a lower first_message_index; and finally, if is_verified and
    first_message_index are equal, then it will keep the key with a lower
    forwarded_count."
    """
    unit.run_many(
        """
        INSERT INTO key_backup_sessions (
            user_id, version, room_id, session_id, is_verified, first_message_index,
            forwarded_count, session_data, added_etag, stored_etag)
        SELECT user_id, version, CAST(:room_id AS TEXT), CAST(:session_id AS TEXT),
            CAST(:is_verified AS BIGINT), CAST(:first_message_index AS BIGINT),
            CAST(:forwarded_count AS BIGINT), :session_data, etag + 1, etag + 1
        FROM key_backup_versions
        WHERE user_id = :user_id AND version = :version AND is_deleted = 0
        ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE
        SET is_verified = excluded.is_verified,
            first_message_index = excluded.first_message_index,
            forwarded_count = excluded.forwarded_count,
            session_data = excluded.session_data,
            stored_etag = excluded.stored_etag
        WHERE (-excluded.is_verified, excluded.first_message_index,
               excluded.forwarded_count)
            < (-key_backup_sessions.is_verified,
               key_backup_sessions.first_message_index,
               key_backup_sessions.forwarded_count)
        """,
        [
            {
                "user_id": user_id,
                "version": version,
                "room_id": each.room_id,
                "session_id": each.session_id,
                "is_verified": int(each.is_verified),
                "first_message_index": each.first_message_index,
                "forwarded_count": each.forwarded_count,
                "session_data": each.session_data,
            }
            for each in sessions
        ],
    )


def update_stored(unit: Unit, user_id: UserId, version: int) -> Returned:
    """Count what `upsert_sessions` has changed: ``(etag, session_count)``.

    No row, and nothing stored, if there is no such version.
    """
    return unit.returning(
        """
        UPDATE key_backup_versions
        SET session_count = session_count + (
                SELECT COUNT(*) FROM key_backup_sessions s
                WHERE s.user_id = :user_id AND s.version = :version
                    AND s.stored_etag = key_backup_versions.etag + 1
                    AND s.added_etag = s.stored_etag
            ),
            etag = etag + CASE WHEN EXISTS (
                SELECT 1 FROM key_backup_sessions s
                WHERE s.user_id = :user_id AND s.version = :version
                    AND s.stored_etag = key_backup_versions.etag + 1
            ) THEN 1 ELSE 0 END
        WHERE user_id = :user_id AND version = :version AND is_deleted = 0
        RETURNING etag, session_count
        """,
        user_id=user_id,
        version=version,
    )


def delete_sessions(unit: Unit, user_id: UserId, version: int, scope: Scope) -> None:
    """Remove sessions; to be followed by `update_deleted`."""
    if scope.session_id is not None:
        unit.run(
            """
            DELETE FROM key_backup_sessions
            WHERE user_id = :user_id AND version = :version AND room_id = :room_id
                AND session_id = :session_id
            """,
            user_id=user_id,
            version=version,
            room_id=scope.room_id,
            session_id=scope.session_id,
        )
    elif scope.room_id is not None:
        unit.run(
            """
            DELETE FROM key_backup_sessions
            WHERE user_id = :user_id AND version = :version AND room_id = :room_id
            """,
            user_id=user_id,
            version=version,
            room_id=scope.room_id,
        )
    else:
        unit.run(
            """
            DELETE FROM key_backup_sessions
            WHERE user_id = :user_id AND version = :version
            """,
            user_id=user_id,
            version=version,
        )


def update_deleted(unit: Unit, user_id: UserId, version: int) -> Returned:
    """Count what `delete_sessions` has left: ``(etag, session_count)``, or no row."""
    return unit.returning(
        """
        UPDATE key_backup_versions
        SET session_count = rest.sessions,
            etag = etag + CASE WHEN session_count > rest.sessions THEN 1 ELSE 0 END
        FROM (
            SELECT COUNT(*) AS sessions FROM key_backup_sessions
            WHERE user_id = :user_id AND version = :version
        ) rest
        WHERE user_id = :user_id AND version = :version AND is_deleted = 0
        RETURNING etag, session_count
        """,
        user_id=user_id,
        version=version,
    )


async def sessions_after(
    db: Reader,
    user_id: UserId,
    version: int,
    *,
    after: tuple[str, str],
    limit: int,
) -> list[BackedUpSession]:
    """Sessions in order of room and session ID, the first ones past *after*."""
    after_room_id, after_session_id = after
    rows = await db.scan(
        """
        SELECT room_id, session_id, is_verified, first_message_index,
            forwarded_count, session_data
        FROM key_backup_sessions
        WHERE user_id = :user_id AND version = :version
            AND (room_id, session_id) > (:after_room_id, :after_session_id)
        ORDER BY room_id, session_id LIMIT :limit
        """,
        user_id=user_id,
        version=version,
        after_room_id=after_room_id,
        after_session_id=after_session_id,
        limit=limit,
    )
    return [BackedUpSession(*row) for row in rows]


async def sessions_of_room(
    db: Reader, user_id: UserId, version: int, room_id: RoomId
) -> list[BackedUpSession]:
    """The sessions of a room, in order of their IDs."""
    rows = await db.scan(
        """
        SELECT room_id, session_id, is_verified, first_message_index,
            forwarded_count, session_data
        FROM key_backup_sessions
        WHERE user_id = :user_id AND version = :version AND room_id = :room_id
        ORDER BY session_id
        """,
        user_id=user_id,
        version=version,
        room_id=room_id,
    )
    return [BackedUpSession(*row) for row in rows]


async def find_session(
    db: Reader, user_id: UserId, version: int, room_id: RoomId, session_id: str
) -> BackedUpSession | None:
    """One session."""
    row = await db.first(
        """
        SELECT room_id, session_id, is_verified, first_message_index,
            forwarded_count, session_data
        FROM key_backup_sessions
        WHERE user_id = :user_id AND version = :version AND room_id = :room_id
            AND session_id = :session_id
        """,
        user_id=user_id,
        version=version,
        room_id=room_id,
        session_id=session_id,
    )
    return BackedUpSession(*row) if row else None
