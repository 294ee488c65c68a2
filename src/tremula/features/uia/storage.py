"""Queries on ``uia_sessions`` (created in migrations/0003_accounts.sql)."""

from collections.abc import Mapping, Sequence

import orjson

from tremula.infra.db import Reader, Unit
from tremula.protocol.unprinted import Unprinted

Completed = Mapping[str, str | None]
"""``{stage: what it proved}`` in order of completion, such as the token given."""


class UiaSession(Unprinted, frozen=True):
    """A row of ``uia_sessions``: how far somebody got with one request.

    ``user_id`` is empty where nobody is logged in; ``expires_ts_ms`` is negative once
    the session is used up. ``flows`` is empty if an older version began it.
    """

    session_hash: bytes
    user_id: str
    operation: str
    request_mac: bytes
    completed: Completed
    expires_ts_ms: int
    flows: Sequence[tuple[str, ...]] = ()


def insert_session(unit: Unit, session: UiaSession) -> None:
    """Store a new session."""
    unit.run(
        """
        INSERT INTO uia_sessions (session_hash, user_id, operation, request_mac,
                                  completed, expires_ts_ms, flows)
        VALUES (:session_hash, :user_id, :operation, :request_mac,
                :completed, :expires_ts_ms, :flows)
        """,
        session_hash=session.session_hash,
        user_id=session.user_id,
        operation=session.operation,
        request_mac=session.request_mac,
        completed=orjson.dumps(session.completed).decode(),
        expires_ts_ms=session.expires_ts_ms,
        flows=orjson.dumps(session.flows).decode(),
    )


def update_completed(unit: Unit, seen: UiaSession, completed: Completed) -> None:
    """Store the stages that a session has completed. If there are others by now than
    those *seen*, the unit fails with ``Conflict`` (see ``infra.rereading``).
    """
    unit.run(
        """
        UPDATE uia_sessions
        SET completed = CASE WHEN completed = :seen THEN :completed END
        WHERE session_hash = :session_hash
        """,
        session_hash=seen.session_hash,
        seen=orjson.dumps(seen.completed).decode(),
        completed=orjson.dumps(completed).decode(),
    )


def use_session(unit: Unit, session: UiaSession) -> None:
    """Use up a session. If that was done, the unit fails with ``Conflict`` (see
    ``infra.rereading``); if it was swept meanwhile, it is there again, used up.
    """
    unit.run(
        """
        INSERT INTO uia_sessions (session_hash, user_id, operation, request_mac,
                                  completed, expires_ts_ms)
        VALUES (:session_hash, :user_id, :operation, :request_mac,
                :completed, :expires_ts_ms)
        ON CONFLICT (session_hash) DO UPDATE
        SET expires_ts_ms = CASE WHEN uia_sessions.expires_ts_ms > 0
            THEN excluded.expires_ts_ms END
        """,
        session_hash=session.session_hash,
        user_id=session.user_id,
        operation=session.operation,
        request_mac=session.request_mac,
        completed=orjson.dumps(session.completed).decode(),
        expires_ts_ms=-session.expires_ts_ms,
    )


def delete_expired_sessions(unit: Unit, now_ms: int) -> None:
    """Remove what is no longer valid, and what was used up when it would be no more."""
    unit.run(
        """
        DELETE FROM uia_sessions WHERE expires_ts_ms BETWEEN :used_ts_ms AND :now_ms
        """,
        used_ts_ms=-now_ms,
        now_ms=now_ms,
    )


async def find_session(db: Reader, session_hash: bytes) -> UiaSession | None:
    """The session, expired or not."""
    row = await db.first(
        """
        SELECT session_hash, user_id, operation, request_mac, completed, expires_ts_ms,
               flows
        FROM uia_sessions WHERE session_hash = :session_hash
        """,
        session_hash=session_hash,
    )
    if row is None:
        return None
    stored_hash, user_id, operation, request_mac, completed, expires_ts_ms, flows = row
    return UiaSession(
        session_hash=stored_hash,
        user_id=user_id,
        operation=operation,
        request_mac=request_mac,
        completed=orjson.loads(completed),
        expires_ts_ms=expires_ts_ms,
        flows=[tuple(flow) for flow in orjson.loads(flows or "[]")],
    )
