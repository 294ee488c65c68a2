"""``tremula report``: what users have reported, straight in the database."""

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from tremula.cli.offline import run_offline
from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.cli.table import date, print_table

if TYPE_CHECKING:
    from tremula.app import Tremula
    from tremula.features.reports.service import Report

_PAGE = 500
_REASON_CHARS = 60

app = App("report")

_ReportId = Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))]


@app.command(name="list")
def list_all(*, resolved: bool = False, source: Source = DEFAULT_SOURCE) -> None:
    """List the newest 500 reports that nobody has resolved.

    Args:
        resolved: List those that were resolved, too.
    """

    async def work(server: "Tremula") -> None:
        found = await server.moderation.reports.page(
            before=None, limit=_PAGE, resolved=resolved
        )
        print_table(
            ("report", "made", "by", "about", "reason"),
            [
                (
                    str(each.report_id),
                    date(each.created_ts_ms),
                    each.reporter,
                    _subject(each),
                    _one_line(each.reason)[:_REASON_CHARS],
                )
                for each in found
            ],
        )

    run_offline(source.load(), work)


@app.command
def show(report_id: _ReportId, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Show a report, and the event that it is about.

    Args:
        report_id: The number that `tremula report list` shows.
    """

    async def work(server: "Tremula") -> None:
        reports = server.moderation.reports
        report = await reports.get(report_id)
        event = await reports.reported_event(report)
        for name, value in report.body().items():
            shown = date(int(value)) if name.endswith("_ts_ms") else _one_line(value)
            sys.stdout.write(f"{name.removesuffix('_ts_ms')}: {shown}\n")
        if event is not None:
            sys.stdout.write(f"event: {event.client_json.decode()}\n")

    run_offline(source.load(), work)


@app.command
def resolve(
    report_id: _ReportId, note: str = "", /, *, source: Source = DEFAULT_SOURCE
) -> None:
    """Close a report.

    Args:
        report_id: The number that `tremula report list` shows.
        note: What was done about it.
    """

    async def work(server: "Tremula") -> None:
        await server.moderation.reports.resolve(report_id, note)
        sys.stdout.write(f"Report {report_id} is resolved.\n")

    run_offline(source.load(), work)


def _subject(report: "Report") -> str:
    return report.event_id or report.room_id or report.user_id or ""


def _one_line(value: object) -> str:
    # What users write may hold what moves a terminal's cursor.
    return "".join(c if c.isprintable() else " " for c in str(value))
