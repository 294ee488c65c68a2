"""Queries on ``server_notices`` (created in migrations/0041_server_notices.sql)."""

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import RoomId, UserId


def replace_room(
    unit: Unit, user_id: UserId, room_id: RoomId, *, old_id: RoomId | None
) -> None:
    """Record the user's room, in the place of *old_id*. Another one that was recorded
    meanwhile fails the unit with ``Conflict``.
    """
    unit.run(
        "DELETE FROM server_notices WHERE user_id = :user_id AND room_id = :old_id",
        user_id=user_id,
        old_id=old_id or "",
    )
    unit.run(
        "INSERT INTO server_notices (user_id, room_id) VALUES (:user_id, :room_id)",
        user_id=user_id,
        room_id=room_id,
    )


async def find_room(db: Reader, user_id: UserId) -> RoomId | None:
    """The user's room, if there was one ever."""
    row = await db.first(
        "SELECT room_id FROM server_notices WHERE user_id = :user_id", user_id=user_id
    )
    return RoomId(row[0]) if row else None
