"""Queries on ``reports`` (created in migrations/0034_moderation.sql)."""

from typing import Any, Final

from msgspec import Struct

from tremula.infra.db import Reader, Returned, Row, Unit
from tremula.protocol.identifiers import EventId, RoomId, UserId

_LAST: Final = 2**63 - 1


class Report(Struct, frozen=True):
    """A row of ``reports``: of an event with its room, or of a room, or of a user.

    ``resolution`` is what the administrator noted, None as long as it is open.
    """

    report_id: int
    reporter: UserId
    room_id: RoomId | None
    event_id: EventId | None
    user_id: UserId | None
    reason: str
    created_ts_ms: int
    resolved_ts_ms: int | None = None
    resolution: str | None = None

    def body(self) -> dict[str, Any]:
        """As administrators get it, without what it is not about."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in fields.items() if value is not None}


def insert_report(unit: Unit, report: Report, *, open_max: int) -> Returned:
    """Store a report, unless *open_max* of its reporter are open; one row if stored."""
    return unit.returning(
        """
        INSERT INTO reports (report_id, reporter, room_id, event_id, user_id, reason,
                             created_ts_ms)
        SELECT CAST(:report_id AS BIGINT), CAST(:reporter AS TEXT),
               CAST(:room_id AS TEXT), CAST(:event_id AS TEXT),
               CAST(:user_id AS TEXT), CAST(:reason AS TEXT),
               CAST(:created_ts_ms AS BIGINT)
        WHERE (SELECT count(*) FROM reports
               WHERE reporter = :reporter AND resolved_ts_ms IS NULL) < :open_max
        RETURNING report_id
        """,
        report_id=report.report_id,
        reporter=report.reporter,
        room_id=report.room_id,
        event_id=report.event_id,
        user_id=report.user_id,
        reason=report.reason,
        created_ts_ms=report.created_ts_ms,
        open_max=open_max,
    )


def update_resolved(
    unit: Unit, report_id: int, *, resolution: str, ts_ms: int
) -> Returned:
    """Close a report; one row if it was open."""
    return unit.returning(
        """
        UPDATE reports SET resolved_ts_ms = :ts_ms, resolution = :resolution
        WHERE report_id = :report_id AND resolved_ts_ms IS NULL
        RETURNING report_id
        """,
        report_id=report_id,
        resolution=resolution,
        ts_ms=ts_ms,
    )


async def find_report(db: Reader, report_id: int) -> Report | None:
    """One report, open or not."""
    row = await db.first(
        """
        SELECT report_id, reporter, room_id, event_id, user_id, reason, created_ts_ms,
               resolved_ts_ms, resolution
        FROM reports WHERE report_id = :report_id
        """,
        report_id=report_id,
    )
    return _report(row) if row else None


async def open_reports(db: Reader, *, before: int | None, limit: int) -> list[Report]:
    """Reports that nobody has resolved, newest first, from below the ID *before*."""
    rows = await db.all(
        """
        SELECT report_id, reporter, room_id, event_id, user_id, reason, created_ts_ms,
               resolved_ts_ms, resolution
        FROM reports WHERE resolved_ts_ms IS NULL AND report_id < :before
        ORDER BY report_id DESC LIMIT :limit
        """,
        before=_LAST if before is None else before,
        limit=limit,
    )
    return [_report(row) for row in rows]


async def all_reports(db: Reader, *, before: int | None, limit: int) -> list[Report]:
    """As `open_reports`, with the resolved ones."""
    rows = await db.all(
        """
        SELECT report_id, reporter, room_id, event_id, user_id, reason, created_ts_ms,
               resolved_ts_ms, resolution
        FROM reports WHERE report_id < :before
        ORDER BY report_id DESC LIMIT :limit
        """,
        before=_LAST if before is None else before,
        limit=limit,
    )
    return [_report(row) for row in rows]


def _report(row: Row) -> Report:
    return Report(*row)
