"""Queries on ``directory_…`` (created in migrations/0005_directory.sql)."""

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import RoomAlias, RoomId, UserId


class StoredAlias(Struct, frozen=True):
    """A row of ``directory_aliases``; ``creator`` is who made the alias."""

    alias: RoomAlias
    room_nid: int
    room_id: RoomId
    creator: UserId


# --- aliases


async def find_alias(db: Reader, alias: RoomAlias) -> StoredAlias | None:
    """What *alias* points at."""
    row = await db.first(
        """
        SELECT alias, room_nid, room_id, creator
        FROM directory_aliases WHERE alias = :alias
        """,
        alias=alias,
    )
    return StoredAlias(*row) if row else None


async def aliases_of_room(db: Reader, room_nid: int) -> list[RoomAlias]:
    """The aliases of a room, in order (directory_aliases_by_room)."""
    rows = await db.all(
        """
        SELECT alias FROM directory_aliases
        WHERE room_nid = :room_nid ORDER BY alias
        """,
        room_nid=room_nid,
    )
    return [RoomAlias(alias) for (alias,) in rows]


def insert_alias(unit: Unit, stored: StoredAlias) -> None:
    """Record a new alias; the unit fails with `Conflict` if it is taken."""
    unit.run(
        """
        INSERT INTO directory_aliases (alias, room_nid, room_id, creator)
        VALUES (:alias, :room_nid, :room_id, :creator)
        """,
        alias=stored.alias,
        room_nid=stored.room_nid,
        room_id=stored.room_id,
        creator=stored.creator,
    )


def delete_alias(unit: Unit, alias: RoomAlias) -> None:
    """Remove *alias*."""
    unit.run("DELETE FROM directory_aliases WHERE alias = :alias", alias=alias)


def delete_aliases_of(unit: Unit, room_nid: int) -> None:
    """Remove all aliases of a room."""
    unit.run(
        "DELETE FROM directory_aliases WHERE room_nid = :room_nid", room_nid=room_nid
    )


def update_room_of_aliases(
    unit: Unit, *, old_room_nid: int, room_nid: int, room_id: RoomId
) -> None:
    """Point all aliases of one room at another (directory_aliases_by_room)."""
    unit.run(
        """
        UPDATE directory_aliases SET room_nid = :room_nid, room_id = :room_id
        WHERE room_nid = :old_room_nid
        """,
        old_room_nid=old_room_nid,
        room_nid=room_nid,
        room_id=room_id,
    )


# --- published rooms


async def published_rooms(db: Reader) -> list[tuple[int, RoomId]]:
    """Number and id of every published room."""
    rows = await db.scan("SELECT room_nid, room_id FROM directory_published")
    return [(room_nid, RoomId(room_id)) for room_nid, room_id in rows]


async def is_published(db: Reader, room_nid: int) -> bool:
    """Whether a room is in the published directory."""
    row = await db.first(
        "SELECT 1 FROM directory_published WHERE room_nid = :room_nid",
        room_nid=room_nid,
    )
    return row is not None


def insert_published(unit: Unit, *, room_nid: int, room_id: RoomId) -> None:
    """Publish a room; nothing happens if it is published."""
    unit.run(
        """
        INSERT INTO directory_published (room_nid, room_id)
        VALUES (:room_nid, :room_id)
        ON CONFLICT (room_nid) DO NOTHING
        """,
        room_nid=room_nid,
        room_id=room_id,
    )


def delete_published(unit: Unit, *, room_nid: int) -> None:
    """Take a room out of the published directory."""
    unit.run(
        "DELETE FROM directory_published WHERE room_nid = :room_nid",
        room_nid=room_nid,
    )
