"""Queries on ``user_appservices_names`` (migrations/0042_appservices.sql)."""

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


async def find_holder(db: Reader, name: str) -> UserId | None:
    """The user who has, or ever had, a bridge of this name."""
    row = await db.first(
        "SELECT user_id FROM user_appservices_names WHERE bridge_name = :name",
        name=name,
    )
    return UserId(row[0]) if row else None


def insert_name(unit: Unit, name: str, user_id: UserId) -> None:
    """Let a name be of one user for good. A taken one fails with ``Conflict``."""
    unit.run(
        """
        INSERT INTO user_appservices_names (bridge_name, user_id)
        VALUES (:name, :user_id)
        """,
        name=name,
        user_id=user_id,
    )
