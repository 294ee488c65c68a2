"""Queries on ``directory_…`` (created in migrations/0005_directory.sql)."""

from typing import Final

from msgspec import Struct

from tremula.infra.db import Reader, Returned, Unit
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


def delete_alias(unit: Unit, seen: StoredAlias) -> Returned:
    """Remove an alias; no row is returned if it is gone, or another by then."""
    return unit.returning(
        """
        DELETE FROM directory_aliases
        WHERE alias = :alias AND room_nid = :room_nid AND creator = :creator
        RETURNING alias
        """,
        alias=seen.alias,
        room_nid=seen.room_nid,
        creator=seen.creator,
    )


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


class Listing(Struct, frozen=True):
    """A directory of rooms: that of the server, or of a network of an application
    service.
    """

    appservice_id: str = ""
    network_id: str = ""


SERVERS_OWN: Final = Listing()


async def published_rooms(db: Reader) -> list[tuple[Listing, int, RoomId]]:
    """Number and id of every published room, and where it is."""
    rows = await db.scan(
        """
        SELECT '', '', room_nid, room_id FROM directory_published
        UNION ALL
        SELECT appservice_id, network_id, room_nid, room_id FROM directory_networks
        """
    )
    return [
        (Listing(appservice_id, network_id), room_nid, RoomId(room_id))
        for appservice_id, network_id, room_nid, room_id in rows
    ]


async def is_published(db: Reader, room_nid: int) -> bool:
    """Whether a room is in the server's own directory."""
    row = await db.first(
        "SELECT 1 FROM directory_published WHERE room_nid = :room_nid",
        room_nid=room_nid,
    )
    return row is not None


def insert_published(
    unit: Unit, listing: Listing, *, room_nid: int, room_id: RoomId
) -> None:
    """Put a room into a directory; nothing happens if it is there."""
    if listing == SERVERS_OWN:
        unit.run(
            """
            INSERT INTO directory_published (room_nid, room_id)
            VALUES (:room_nid, :room_id)
            ON CONFLICT (room_nid) DO NOTHING
            """,
            room_nid=room_nid,
            room_id=room_id,
        )
        return
    unit.run(
        """
        INSERT INTO directory_networks (appservice_id, network_id, room_nid, room_id)
        VALUES (:appservice_id, :network_id, :room_nid, :room_id)
        ON CONFLICT (room_nid, appservice_id, network_id) DO NOTHING
        """,
        appservice_id=listing.appservice_id,
        network_id=listing.network_id,
        room_nid=room_nid,
        room_id=room_id,
    )


def delete_published(unit: Unit, listing: Listing, *, room_nid: int) -> None:
    """Take a room out of a directory."""
    if listing == SERVERS_OWN:
        _delete_from_own(unit, room_nid)
        return
    unit.run(
        """
        DELETE FROM directory_networks
        WHERE room_nid = :room_nid AND appservice_id = :appservice_id
            AND network_id = :network_id
        """,
        appservice_id=listing.appservice_id,
        network_id=listing.network_id,
        room_nid=room_nid,
    )


def delete_published_anywhere(unit: Unit, *, room_nid: int) -> None:
    """Take a room out of all directories."""
    _delete_from_own(unit, room_nid)
    unit.run(
        "DELETE FROM directory_networks WHERE room_nid = :room_nid", room_nid=room_nid
    )


def _delete_from_own(unit: Unit, room_nid: int) -> None:
    unit.run(
        "DELETE FROM directory_published WHERE room_nid = :room_nid",
        room_nid=room_nid,
    )
