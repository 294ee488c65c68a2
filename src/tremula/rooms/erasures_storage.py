"""Queries on ``rooms_erasures`` (created in migrations/0011_erasures.sql)."""

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


def insert_erasure(unit: Unit, user_id: UserId, *, erased_pos: int) -> None:
    """Record an erasure; of several only the first one counts."""
    unit.run(
        """
        INSERT INTO rooms_erasures (user_id, erased_pos)
        VALUES (:user_id, :erased_pos)
        ON CONFLICT (user_id) DO NOTHING
        """,
        user_id=user_id,
        erased_pos=erased_pos,
    )


async def erasures(db: Reader) -> dict[UserId, int]:
    """The journal position of each erasure."""
    return dict(await db.scan("SELECT user_id, erased_pos FROM rooms_erasures"))
