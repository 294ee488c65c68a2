"""Queries on EDUs that must arrive (``federation_edus``; see migrations)."""

from typing import Any

import orjson
from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.identifiers import ServerName


class DurableEdu(Struct, frozen=True):
    """A row of ``federation_edus``; those with no ``replacement_key`` all stay."""

    destination: ServerName
    pos: int
    replacement_key: str | None
    edu_json: bytes
    ts_ms: int


def insert_edu(unit: Unit, edu: DurableEdu) -> None:
    """Store an EDU for one destination."""
    unit.run(
        """
        INSERT INTO federation_edus (server_name, pos, is_begun, replacement_key, edu,
                                     ts_ms)
        VALUES (:server_name, :pos, 0, :replacement_key, :edu, :ts_ms)
        """,
        server_name=edu.destination,
        pos=edu.pos,
        replacement_key=edu.replacement_key,
        edu=edu.edu_json,
        ts_ms=edu.ts_ms,
    )


def delete_replaced(unit: Unit, destination: ServerName, key: str) -> None:
    """Forget what has this key, unless it is in a transaction already."""
    unit.run(
        """
        DELETE FROM federation_edus
        WHERE server_name = :server_name AND replacement_key = :key AND is_begun = 0
        """,
        server_name=destination,
        key=key,
    )


async def waiting_positions(
    db: Reader, destination: ServerName, *, limit: int
) -> list[int]:
    """The oldest that are in no transaction so far."""
    rows = await db.all(
        """
        SELECT pos FROM federation_edus
        WHERE server_name = :server_name AND is_begun = 0
        ORDER BY pos LIMIT :limit
        """,
        server_name=destination,
        limit=limit,
    )
    return [pos for (pos,) in rows]


async def begun_edus(db: Reader, destination: ServerName) -> list[dict[str, Any]]:
    """The EDUs of the transaction under way, in order."""
    rows = await db.all(
        """
        SELECT edu FROM federation_edus
        WHERE server_name = :server_name AND is_begun = 1
        ORDER BY pos
        """,
        server_name=destination,
    )
    return [orjson.loads(edu) for (edu,) in rows]


def update_begun(unit: Unit, destination: ServerName, positions: list[int]) -> None:
    """These (at most 500) are in the transaction that is about to be sent."""
    unit.run(
        """
        UPDATE federation_edus SET is_begun = 1
        WHERE server_name = :server_name AND pos IN :positions
        """,
        server_name=destination,
        positions=positions,
    )


def update_all_waiting(unit: Unit, destination: ServerName) -> None:
    """Those of the transaction under way wait for another one."""
    unit.run(
        """
        UPDATE federation_edus SET is_begun = 0
        WHERE server_name = :server_name AND is_begun = 1
        """,
        server_name=destination,
    )


def delete_begun(unit: Unit, destination: ServerName) -> None:
    """The transaction under way is done with."""
    unit.run(
        "DELETE FROM federation_edus WHERE server_name = :server_name AND is_begun = 1",
        server_name=destination,
    )


def delete_excess(
    unit: Unit, destination: ServerName, *, kept_max: int, before_ms: int
) -> None:
    """Keep the newest *kept_max*, none of them older than *before_ms*.

    What is in a transaction stays.
    """
    unit.run(
        """
        DELETE FROM federation_edus
        WHERE server_name = :server_name AND is_begun = 0 AND (
            ts_ms < :before_ms OR pos <= (
                SELECT newer.pos FROM federation_edus newer
                WHERE newer.server_name = :server_name AND newer.is_begun = 0
                ORDER BY newer.pos DESC LIMIT 1 OFFSET :kept_max
            )
        )
        """,
        server_name=destination,
        kept_max=kept_max,
        before_ms=before_ms,
    )
