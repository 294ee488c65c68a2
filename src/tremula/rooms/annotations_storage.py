"""Queries on ``rooms_annotations`` (created in migrations/0008_annotations.sql).

One row an annotation that is not redacted, by what it has in common with duplicates.
"""

from tremula.infra.db import Reader, Unit


def insert_annotation(
    unit: Unit, room_nid: int, digest: bytes, *, event_nid: int
) -> None:
    """Record an annotation."""
    unit.run(
        """
        INSERT INTO rooms_annotations (room_nid, digest, event_nid)
        VALUES (:room_nid, :digest, :event_nid)
        """,
        room_nid=room_nid,
        digest=digest,
        event_nid=event_nid,
    )


def delete_annotation(
    unit: Unit, room_nid: int, digest: bytes, *, event_nid: int
) -> None:
    """Forget an annotation, which is being redacted."""
    unit.run(
        """
        DELETE FROM rooms_annotations
        WHERE room_nid = :room_nid AND digest = :digest AND event_nid = :event_nid
        """,
        room_nid=room_nid,
        digest=digest,
        event_nid=event_nid,
    )


async def has_annotation(db: Reader, room_nid: int, digest: bytes) -> bool:
    """Whether there is an annotation of this digest."""
    row = await db.first(
        """
        SELECT 1 FROM rooms_annotations
        WHERE room_nid = :room_nid AND digest = :digest LIMIT 1
        """,
        room_nid=room_nid,
        digest=digest,
    )
    return row is not None
