"""Takes reports from users, and shows them to administrators."""

from typing import Final

import structlog
from msgspec import Struct

from tremula.features.reports import storage
from tremula.features.reports.storage import Report
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.errors import InvalidParam, LimitExceeded, NotFound
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.reader import RoomReader
from tremula.rooms.visibility import Visibility

__all__ = ["PAGE_MAX", "Report", "Reports", "Subject"]

REASON_CHARS_MAX: Final = 10_000
OPEN_MAX: Final = 100
"""How many reports of one user may wait for an administrator."""
PAGE_MAX: Final = 500

_log = structlog.get_logger(__name__)


class Subject(Struct, frozen=True):
    """What a report is about: an event of a room, a room, or a user."""

    room_id: RoomId | None = None
    event_id: EventId | None = None
    user_id: UserId | None = None


class Reports(Struct, frozen=True):
    """Stores what users report until an administrator has seen to it."""

    db: Reader
    journal: Journal
    clock: Clock
    reader: RoomReader
    events: EventStore
    visibility: Visibility

    async def report_event(
        self, reporter: UserId, room_id: RoomId, event_id: EventId, reason: str
    ) -> None:
        """Report an event that *reporter* can see, of a room that they are joined to.

        Raises:
            NotFound: it is not so, whatever of it.
            InvalidParam: the reason is too long.
            LimitExceeded: too many reports of theirs are open.
        """
        view = await self.reader.find_room(room_id)
        event = None
        if view is not None and view.is_joined(reporter):
            event = await self.events.find(view.nid, event_id)
        if view is None or event is None:
            raise _no_event()
        viewer = await self.visibility.viewer(view, reporter, oldest_pos=event.room_pos)
        if not viewer.can_see(event):
            raise _no_event()
        await self.report(reporter, Subject(room_id, event_id), reason)

    async def report(self, reporter: UserId, subject: Subject, reason: str) -> None:
        """Report a room or a user, whether they exist or not: nobody learns which.

        Raises:
            InvalidParam: the reason is too long.
            LimitExceeded: too many reports of theirs are open.
        """
        if len(reason) > REASON_CHARS_MAX:
            raise InvalidParam(f"a reason has at most {REASON_CHARS_MAX} characters")
        unit = self.journal.unit()
        report = Report(
            report_id=unit.pos(),
            reporter=reporter,
            room_id=subject.room_id,
            event_id=subject.event_id,
            user_id=subject.user_id,
            reason=reason,
            created_ts_ms=self.clock.now_ms(),
        )
        stored = storage.insert_report(unit, report, open_max=OPEN_MAX)
        await self.journal.commit(unit)
        if not stored.rows:
            raise LimitExceeded("too many of your reports wait for an administrator")
        _log.info("reported", report_id=report.report_id)

    async def page(
        self, *, before: int | None, limit: int, resolved: bool
    ) -> list[Report]:
        """Reports, newest first, from below the ID *before*; the open ones, or all."""
        limit = min(limit, PAGE_MAX)
        if resolved:
            return await storage.all_reports(self.db, before=before, limit=limit)
        return await storage.open_reports(self.db, before=before, limit=limit)

    async def get(self, report_id: int) -> Report:
        """One report.

        Raises:
            NotFound: there is none of this ID.
        """
        report = await storage.find_report(self.db, report_id)
        if report is None:
            raise NotFound(f"there is no report {report_id}")
        return report

    async def reported_event(self, report: Report) -> StoredEvent | None:
        """The event that is reported, as it is now."""
        if report.room_id is None or report.event_id is None:
            return None
        view = await self.reader.find_room(report.room_id)
        return (
            None if view is None else await self.events.find(view.nid, report.event_id)
        )

    async def resolve(self, report_id: int, resolution: str) -> None:
        """Close a report, and note what was done about it.

        Raises:
            NotFound: there is no report of this ID that is open.
        """
        unit = self.journal.unit()
        resolved = storage.update_resolved(
            unit, report_id, resolution=resolution, ts_ms=self.clock.now_ms()
        )
        await self.journal.commit(unit)
        if not resolved.rows:
            raise NotFound(f"there is no open report {report_id}")


def _no_event() -> NotFound:
    return NotFound("there is no such event, or you are not joined to its room")
