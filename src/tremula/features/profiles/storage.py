"""Queries on ``profiles`` and ``profiles_fields`` (0004_account_data.sql).

``changed_pos`` (0025_one_decision.sql) is the position of the newest change.
"""

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


class StoredProfile(Struct, frozen=True):
    """The fields of a profile as JSON by name, as of ``changed_pos``."""

    fields: dict[str, bytes]
    changed_pos: int


async def find_profile(db: Reader, user_id: UserId) -> StoredProfile | None:
    """The profile of a user, if there is such a user."""
    rows = await db.all(
        """
        SELECT f.field_name, f.field_value, p.changed_pos
        FROM profiles p
        LEFT JOIN profiles_fields f ON f.user_id = p.user_id
        WHERE p.user_id = :user_id
        """,
        user_id=user_id,
    )
    if not rows:
        return None
    fields = {name: value for name, value, _ in rows if name is not None}
    return StoredProfile(fields, rows[0][2])


async def propagations(db: Reader, *, limit: int) -> list[tuple[UserId, int]]:
    """Users whose rooms have not all seen their profile, and since which position."""
    rows = await db.all(
        """
        SELECT user_id, propagate_pos
        FROM profiles
        WHERE propagate_pos > 0
        ORDER BY propagate_pos
        LIMIT :limit
        """,
        limit=limit,
    )
    return [(UserId(user_id), pos) for user_id, pos in rows]


def insert_profile(unit: Unit, user_id: UserId) -> None:
    """Create an empty profile, unless there is one."""
    unit.run(
        """
        INSERT INTO profiles (user_id, propagate_pos) VALUES (:user_id, 0)
        ON CONFLICT (user_id) DO NOTHING
        """,
        user_id=user_id,
    )


def upsert_profile(unit: Unit, user_id: UserId, *, seen_pos: int, pos: int) -> None:
    """A profile that was changed at *seen_pos* last (0: it is new) changes at *pos*.

    If it has changed since, the unit fails with ``Conflict``.
    """
    unit.run(
        """
        INSERT INTO profiles (user_id, propagate_pos, changed_pos)
        VALUES (:user_id, 0, :pos)
        ON CONFLICT (user_id) DO UPDATE
        SET changed_pos = CASE WHEN profiles.changed_pos = :seen_pos
            THEN excluded.changed_pos END
        """,
        user_id=user_id,
        seen_pos=seen_pos,
        pos=pos,
    )


def upsert_field(unit: Unit, user_id: UserId, name: str, value: bytes) -> None:
    """Set one field to a JSON value."""
    unit.run(
        """
        INSERT INTO profiles_fields (user_id, field_name, field_value)
        VALUES (:user_id, :name, :value)
        ON CONFLICT (user_id, field_name) DO UPDATE
        SET field_value = excluded.field_value
        """,
        user_id=user_id,
        name=name,
        value=value,
    )


def delete_field(unit: Unit, user_id: UserId, name: str) -> None:
    """Remove one field."""
    unit.run(
        """
        DELETE FROM profiles_fields WHERE user_id = :user_id AND field_name = :name
        """,
        user_id=user_id,
        name=name,
    )


def delete_fields(unit: Unit, user_id: UserId) -> None:
    """Remove every field."""
    unit.run("DELETE FROM profiles_fields WHERE user_id = :user_id", user_id=user_id)


def update_propagation(unit: Unit, user_id: UserId, *, pos: int) -> None:
    """Note that the user's rooms have to be told of the change at *pos*."""
    unit.run(
        "UPDATE profiles SET propagate_pos = :pos WHERE user_id = :user_id",
        user_id=user_id,
        pos=pos,
    )


def finish_propagation(unit: Unit, user_id: UserId, *, pos: int) -> None:
    """Note that all rooms know the change at *pos*; a newer one stays to be told."""
    unit.run(
        """
        UPDATE profiles SET propagate_pos = 0
        WHERE user_id = :user_id AND propagate_pos = :pos
        """,
        user_id=user_id,
        pos=pos,
    )
