"""Reports as administrators get them; not in the specification."""

from typing import Final

import msgspec
import orjson

from tremula.features.reports.service import PAGE_MAX, Reports
from tremula.infra.http import Api, Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import NotFound

_REPORTS: Final = "/_tremula/admin/v1/reports"
_REPORT: Final = "/_tremula/admin/v1/reports/{report_id}"
_ID_DIGITS_MAX: Final = 18


class ResolveBody(msgspec.Struct):
    """What was done about a report."""

    resolution: str = ""


@endpoint("GET", _REPORTS, auth=Auth.USER, api=Api.ADMIN)
async def list_reports(req: UserRequest, reports: Reports) -> Json:
    """Open reports, newest first; with ``resolved=true`` all. Errors: M_FORBIDDEN."""
    req.check_admin()
    limit = req.query.int("limit", default=100, min=1, max=PAGE_MAX)
    found = await reports.page(
        before=req.query.int("from", min=0, max=2**63 - 1),
        limit=limit,
        resolved=req.query.bool("resolved"),
    )
    answer: dict[str, object] = {"reports": [report.body() for report in found]}
    if len(found) == limit:
        answer["next_batch"] = str(found[-1].report_id)
    return answer


@endpoint("GET", _REPORT, auth=Auth.USER, api=Api.ADMIN)
async def get_report(req: UserRequest, reports: Reports) -> Json:
    """One report, with its event. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    req.check_admin()
    report = await reports.get(_report_id(req))
    event = await reports.reported_event(report)
    body = report.body()
    return body if event is None else body | {"event": orjson.loads(event.client_json)}


@endpoint("POST", f"{_REPORT}/resolve", auth=Auth.USER, api=Api.ADMIN)
async def resolve_report(req: UserRequest, reports: Reports) -> Json:
    """Close a report. Errors: M_FORBIDDEN, M_NOT_FOUND."""
    req.check_admin()
    await reports.resolve(_report_id(req), req.body(ResolveBody).resolution)
    return {}


def _report_id(req: UserRequest) -> int:
    raw = req.path["report_id"]
    if not (raw.isascii() and raw.isdigit()) or len(raw) > _ID_DIGITS_MAX:
        raise NotFound("there is no such report")
    return int(raw)
