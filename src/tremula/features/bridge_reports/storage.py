"""Queries on what bridges report (created in migrations/0044_bridge_reports.sql)."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from tremula.infra.db import Reader, Unit
from tremula.protocol.bridge_reports import BridgeState, Checkpoint


class Reported(Struct, frozen=True):
    """A state or a checkpoint: JSON as it came, and when that was."""

    raw: str
    ts_ms: int


def upsert_state(
    unit: Unit, appservice_id: str, state: BridgeState, *, ts_ms: int
) -> None:
    """Replace the state of a login."""
    unit.run(
        """
        INSERT INTO bridge_reports_states (appservice_id, user_id, remote_id, state,
                                           ts_ms)
        VALUES (:appservice_id, :user_id, :remote_id, :state, :ts_ms)
        ON CONFLICT (appservice_id, user_id, remote_id) DO UPDATE
        SET state = excluded.state, ts_ms = excluded.ts_ms
        """,
        appservice_id=appservice_id,
        user_id=state.user_id,
        remote_id=state.remote_id,
        state=state.raw,
        ts_ms=ts_ms,
    )


def delete_oldest_states(unit: Unit, appservice_id: str, *, kept_max: int) -> None:
    """Keep the newest states of a bridge only."""
    unit.run(
        """
        DELETE FROM bridge_reports_states
        WHERE appservice_id = :appservice_id AND ts_ms < (
            SELECT ts_ms FROM bridge_reports_states
            WHERE appservice_id = :appservice_id
            ORDER BY ts_ms DESC LIMIT 1 OFFSET :kept_max
        )
        """,
        appservice_id=appservice_id,
        kept_max=kept_max - 1,
    )


async def states(db: Reader, appservice_id: str) -> Sequence[Reported]:
    """The states of a bridge's logins, the newest first."""
    rows = await db.all(
        """
        SELECT state, ts_ms FROM bridge_reports_states
        WHERE appservice_id = :appservice_id ORDER BY ts_ms DESC
        """,
        appservice_id=appservice_id,
    )
    return [Reported(*row) for row in rows]


def upsert_checkpoints(
    unit: Unit, appservice_id: str, checkpoints: Iterable[Checkpoint], *, ts_ms: int
) -> None:
    """Replace what was said of the same steps of the same events."""
    unit.run_many(
        """
        INSERT INTO bridge_reports_checkpoints (appservice_id, event_id, step,
                                                checkpoint, ts_ms)
        VALUES (:appservice_id, :event_id, :step, :checkpoint, :ts_ms)
        ON CONFLICT (appservice_id, event_id, step) DO UPDATE
        SET checkpoint = excluded.checkpoint, ts_ms = excluded.ts_ms
        """,
        [
            {
                "appservice_id": appservice_id,
                "event_id": each.event_id,
                "step": each.step,
                "checkpoint": each.raw,
                "ts_ms": ts_ms,
            }
            for each in checkpoints
        ],
    )


def delete_oldest_checkpoints(unit: Unit, appservice_id: str, *, kept_max: int) -> None:
    """Keep the newest checkpoints of a bridge only."""
    unit.run(
        """
        DELETE FROM bridge_reports_checkpoints
        WHERE appservice_id = :appservice_id AND ts_ms < (
            SELECT ts_ms FROM bridge_reports_checkpoints
            WHERE appservice_id = :appservice_id
            ORDER BY ts_ms DESC LIMIT 1 OFFSET :kept_max
        )
        """,
        appservice_id=appservice_id,
        kept_max=kept_max - 1,
    )


async def checkpoints(
    db: Reader, appservice_id: str, *, limit: int
) -> Sequence[Reported]:
    """The newest checkpoints of a bridge."""
    rows = await db.all(
        """
        SELECT checkpoint, ts_ms FROM bridge_reports_checkpoints
        WHERE appservice_id = :appservice_id ORDER BY ts_ms DESC LIMIT :limit
        """,
        appservice_id=appservice_id,
        limit=limit,
    )
    return [Reported(*row) for row in rows]


def delete_all(unit: Unit, appservice_id: str) -> None:
    """Forget a bridge."""
    unit.run(
        "DELETE FROM bridge_reports_states WHERE appservice_id = :appservice_id",
        appservice_id=appservice_id,
    )
    unit.run(
        "DELETE FROM bridge_reports_checkpoints WHERE appservice_id = :appservice_id",
        appservice_id=appservice_id,
    )
