"""Queries on what application services with encryption are to be told
(created in migrations/0046_appservice_encryption.sql).
"""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


class Addressed(Struct, frozen=True, order=True):
    """That devices of a user of theirs got messages at a journal position."""

    pos: int
    user_id: UserId


def insert_addressed(
    unit: Unit, appservice_ids: Collection[str], addressed: Addressed
) -> None:
    """Let messages to a user's devices wait for some application services."""
    unit.run_many(
        """
        INSERT INTO appservice_encryption_messages (appservice_id, pos, user_id)
        VALUES (:appservice_id, :pos, :user_id)
        """,
        [
            {
                "appservice_id": appservice_id,
                "pos": addressed.pos,
                "user_id": addressed.user_id,
            }
            for appservice_id in appservice_ids
        ],
    )


async def oldest_addressed(
    db: Reader, appservice_id: str, *, up_to: int, limit: int
) -> list[Addressed]:
    """What waits for an application service, oldest first (the primary key)."""
    rows = await db.all(
        """
        SELECT pos, user_id FROM appservice_encryption_messages
        WHERE appservice_id = :appservice_id AND pos <= :up_to
        ORDER BY pos, user_id LIMIT :limit
        """,
        appservice_id=appservice_id,
        up_to=up_to,
        limit=limit,
    )
    return [Addressed(pos, UserId(user_id)) for pos, user_id in rows]


def delete_addressed(unit: Unit, appservice_id: str, told: Sequence[Addressed]) -> None:
    """They wait no longer."""
    unit.run_many(
        """
        DELETE FROM appservice_encryption_messages
        WHERE appservice_id = :appservice_id AND pos = :pos AND user_id = :user_id
        """,
        [
            {"appservice_id": appservice_id, "pos": each.pos, "user_id": each.user_id}
            for each in told
        ],
    )


def delete_of_appservice(unit: Unit, appservice_id: str) -> None:
    """Forget an application service."""
    unit.run(
        """
        DELETE FROM appservice_encryption_messages
        WHERE appservice_id = :appservice_id
        """,
        appservice_id=appservice_id,
    )
    unit.run(
        """
        DELETE FROM appservice_encryption_told WHERE appservice_id = :appservice_id
        """,
        appservice_id=appservice_id,
    )


async def ids_with_messages(db: Reader) -> set[str]:
    """The application services that messages wait for."""
    rows = await db.all(
        "SELECT DISTINCT appservice_id FROM appservice_encryption_messages"
    )
    return {appservice_id for (appservice_id,) in rows}


async def told_positions(db: Reader) -> Mapping[str, int]:
    """Up to where each application service was told of device lists."""
    rows = await db.all(
        "SELECT appservice_id, device_lists_pos FROM appservice_encryption_told"
    )
    return dict(rows)


def upsert_told(unit: Unit, appservice_id: str, *, pos: int) -> None:
    """An application service was told of all changes up to *pos*."""
    unit.run(
        """
        INSERT INTO appservice_encryption_told (appservice_id, device_lists_pos)
        VALUES (:appservice_id, :pos)
        ON CONFLICT (appservice_id) DO UPDATE
        SET device_lists_pos = excluded.device_lists_pos
        """,
        appservice_id=appservice_id,
        pos=pos,
    )
