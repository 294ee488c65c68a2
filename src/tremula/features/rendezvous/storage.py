"""Queries on ``rendezvous_sessions`` (created in migrations/0024_rendezvous.sql)."""

from enum import StrEnum

from msgspec import Struct

from tremula.infra.db import Reader, Returned, Unit


class Protocol(StrEnum):
    """What the devices speak with the server."""

    MSC4108 = "msc4108"
    MSC4388 = "msc4388"


class Session(Struct, frozen=True):
    """What lies in a session, and until when."""

    session_id: str
    payload: bytes
    sequence: int
    modified_ts_ms: int
    expires_ts_ms: int


def delete_expired(unit: Unit, now_ms: int) -> None:
    """Forget sessions of the past."""
    unit.run(
        "DELETE FROM rendezvous_sessions WHERE expires_ts_ms <= :now_ms", now_ms=now_ms
    )


def insert_session(
    unit: Unit, protocol: Protocol, session: Session, *, sessions_max: int
) -> Returned:
    """Begin a session: ``(session_id,)``, or no row if there are too many."""
    return unit.returning(
        """
        INSERT INTO rendezvous_sessions (session_id, protocol, payload, sequence,
                                         modified_ts_ms, expires_ts_ms)
        SELECT CAST(:session_id AS TEXT), CAST(:protocol AS TEXT), :payload,
            CAST(:sequence AS BIGINT), CAST(:modified_ts_ms AS BIGINT),
            CAST(:expires_ts_ms AS BIGINT)
        WHERE (SELECT COUNT(*) FROM rendezvous_sessions) < :sessions_max
        RETURNING session_id
        """,
        session_id=session.session_id,
        protocol=protocol.value,
        payload=session.payload,
        sequence=session.sequence,
        modified_ts_ms=session.modified_ts_ms,
        expires_ts_ms=session.expires_ts_ms,
        sessions_max=sessions_max,
    )


async def find_session(
    db: Reader, protocol: Protocol, session_id: str, *, now_ms: int
) -> Session | None:
    """A session that has not expired."""
    row = await db.first(
        """
        SELECT session_id, payload, sequence, modified_ts_ms, expires_ts_ms
        FROM rendezvous_sessions
        WHERE session_id = :session_id AND protocol = :protocol
            AND expires_ts_ms > :now_ms
        """,
        session_id=session_id,
        protocol=protocol.value,
        now_ms=now_ms,
    )
    return Session(*row) if row else None


def update_payload(
    unit: Unit,
    protocol: Protocol,
    session_id: str,
    payload: bytes,
    *,
    sequence: int,
    now_ms: int,
) -> Returned:
    """Replace the payload that is the *sequence*-th: ``(sequence,)`` of the new one.

    No row if it is not, or not any more, or if there is no such session.
    """
    return unit.returning(
        """
        UPDATE rendezvous_sessions
        SET payload = :payload, sequence = sequence + 1, modified_ts_ms = :now_ms
        WHERE session_id = :session_id AND protocol = :protocol
            AND sequence = :sequence AND expires_ts_ms > :now_ms
        RETURNING sequence
        """,
        session_id=session_id,
        protocol=protocol.value,
        payload=payload,
        sequence=sequence,
        now_ms=now_ms,
    )


def delete_session(
    unit: Unit, protocol: Protocol, session_id: str, *, now_ms: int
) -> Returned:
    """End a session: ``(session_id,)``, or no row if there is no such one."""
    return unit.returning(
        """
        DELETE FROM rendezvous_sessions
        WHERE session_id = :session_id AND protocol = :protocol
            AND expires_ts_ms > :now_ms
        RETURNING session_id
        """,
        session_id=session_id,
        protocol=protocol.value,
        now_ms=now_ms,
    )
