"""Queries on ``rooms_outside`` (created in migrations/0013_rooms_outside.sql)."""

from collections.abc import Collection, Sequence

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


async def rows_of_left(
    db: Reader, room_nid: int, user_ids: Sequence[UserId]
) -> list[OutsideRow]:
    """By which events users (at most 500) have left a room that is about to be
    forgotten.
    """
    rows = await db.scan(
        """
        SELECT m.user_id, m.room_nid, m.event_nid, r.room_version,
               e.client_json, e.server_json
        FROM rooms_memberships m
        JOIN rooms_rooms r ON r.room_nid = m.room_nid
        JOIN rooms_current_state s ON s.room_nid = m.room_nid
            AND s.type = 'm.room.member' AND s.state_key = m.user_id
        JOIN rooms_events e ON e.event_nid = s.event_nid
        WHERE m.room_nid = :room_nid AND m.user_id IN :user_ids
        """,
        room_nid=room_nid,
        user_ids=list(user_ids),
    )
    nothing = b"[]"
    return [
        OutsideRow(user_id, nid, pos, version, client, server, nothing, nothing)
        for user_id, nid, pos, version, client, server in rows
    ]
