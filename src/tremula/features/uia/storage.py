"""Queries on ``uia_sessions`` (created in migrations/0003_accounts.sql)."""

from collections.abc import Mapping

import orjson

from tremula.infra.db import Reader, Returned, Unit
from tremula.protocol.unprinted import Unprinted

Completed = Mapping[str, str | None]
"""``{stage: what it proved}`` in order of completion, such as the token given."""


class UiaSession(Unprinted, frozen=True):
    """A row of ``uia_sessions``: how far somebody got with one request.

    ``user_id`` is empty where nobody is logged in.
    """

    session_hash: bytes
    user_id: str
    operation: str
    request_mac: bytes
    completed: Completed
    expires_ts_ms: int


def insert_session(unit: Unit, session: UiaSession) -> None:
    """Store a new session."""
    unit.run(
        """
        INSERT INTO uia_sessions (session_hash, user_id, operation, request_mac,
                                  completed, expires_ts_ms)
        VALUES (:session_hash, :user_id, :operation, :request_mac,
                :completed, :expires_ts_ms)
        """,
        session_hash=session.session_hash,
        user_id=session.user_id,
        operation=session.operation,
        request_mac=session.request_mac,
        completed=orjson.dumps(session.completed).decode(),
        expires_ts_ms=session.expires_ts_ms,
    )


def update_completed(unit: Unit, session_hash: bytes, completed: Completed) -> None:
    """Store the stages that a session has completed."""
    unit.run(
        """
        UPDATE uia_sessions SET completed = :completed
        WHERE session_hash = :session_hash
        """,
        session_hash=session_hash,
        completed=orjson.dumps(completed).decode(),
    )


def take_session(unit: Unit, session_hash: bytes) -> Returned:
    """Remove a session. Of two requests at once only one gets its row."""
    return unit.returning(
        """
        DELETE FROM uia_sessions WHERE session_hash = :session_hash
        RETURNING operation
        """,
        session_hash=session_hash,
    )


def delete_expired_sessions(unit: Unit, now_ms: int) -> None:
    """Remove what is no longer valid."""
    unit.run(
        "DELETE FROM uia_sessions WHERE expires_ts_ms <= :now_ms",
        now_ms=now_ms,
    )


async def find_session(db: Reader, session_hash: bytes) -> UiaSession | None:
    """The session, expired or not."""
    row = await db.first(
        """
        SELECT session_hash, user_id, operation, request_mac, completed, expires_ts_ms
        FROM uia_sessions WHERE session_hash = :session_hash
        """,
        session_hash=session_hash,
    )
    if row is None:
        return None
    stored_hash, user_id, operation, request_mac, completed, expires_ts_ms = row
    return UiaSession(
        session_hash=stored_hash,
        user_id=user_id,
        operation=operation,
        request_mac=request_mac,
        completed=orjson.loads(completed),
        expires_ts_ms=expires_ts_ms,
    )
