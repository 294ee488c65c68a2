"""Queries on ``rooms_outside`` (created in migrations/0013_rooms_outside.sql)."""

from collections.abc import Collection

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import UserId


class OutsideRow(Struct, frozen=True):
    """A row of ``rooms_outside``; ``servers`` and ``stripped_state`` are JSON."""

    user_id: UserId
    room_nid: int
    event_nid: int
    room_version: str
    client_json: bytes
    server_json: bytes
    servers: bytes
    stripped_state: bytes


async def outside_rows(
    db: Reader, user_id: UserId, room_nids: Collection[int]
) -> dict[int, OutsideRow]:
    """What is known of *user_id* in rooms (at most 500), by room nid."""
    rows = await db.all(
        """
        SELECT user_id, room_nid, event_nid, room_version, client_json, server_json,
               servers, stripped_state
        FROM rooms_outside WHERE user_id = :user_id AND room_nid IN :room_nids
        """,
        user_id=user_id,
        room_nids=list(room_nids),
    )
    found = [OutsideRow(*row) for row in rows]
    return {row.room_nid: row for row in found}


def upsert_outside(unit: Unit, row: OutsideRow) -> None:
    """Record what a user now is to a room that this server is not in."""
    unit.run(
        """
        INSERT INTO rooms_outside (user_id, room_nid, event_nid, room_version,
                                   client_json, server_json, servers, stripped_state)
        VALUES (:user_id, :room_nid, :event_nid, :room_version,
                :client_json, :server_json, :servers, :stripped_state)
        ON CONFLICT (user_id, room_nid) DO UPDATE
        SET event_nid = excluded.event_nid,
            room_version = excluded.room_version,
            client_json = excluded.client_json,
            server_json = excluded.server_json,
            servers = excluded.servers,
            stripped_state = excluded.stripped_state
        """,
        user_id=row.user_id,
        room_nid=row.room_nid,
        event_nid=row.event_nid,
        room_version=row.room_version,
        client_json=row.client_json,
        server_json=row.server_json,
        servers=row.servers,
        stripped_state=row.stripped_state,
    )
