"""Reporting at the HTTP edge (CS "Reporting Content")."""

import msgspec

from tremula.features.reports.service import Reports, Subject
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    parse_room_id,
    parse_user_id,
)


class ReportEventBody(msgspec.Struct):
    """Body of CS ``reportEvent``."""

    reason: str = ""


class ReportBody(msgspec.Struct):
    """Body of CS ``reportRoom`` and ``reportUser``."""

    reason: str


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/report/{event_id}",
    auth=Auth.USER,
    limit="reports",
)
async def report_event(req: UserRequest, reports: Reports) -> Json:
    """CS reportEvent. Errors: M_NOT_FOUND, M_INVALID_PARAM, M_LIMIT_EXCEEDED."""
    await reports.report_event(
        req.user_id,
        RoomId(req.path["room_id"]),
        EventId(req.path["event_id"]),
        req.body(ReportEventBody).reason,
    )
    return {}


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/report",
    auth=Auth.USER,
    limit="reports",
)
async def report_room(req: UserRequest, reports: Reports) -> Json:
    """CS reportRoom. Errors: M_INVALID_PARAM, M_LIMIT_EXCEEDED."""
    room_id = parse_room_id(req.path["room_id"])
    reason = req.body(ReportBody).reason
    await reports.report(req.user_id, Subject(room_id=room_id), reason)
    return {}


@endpoint(
    "POST",
    "/_matrix/client/v3/users/{user_id}/report",
    auth=Auth.USER,
    limit="reports",
)
async def report_user(req: UserRequest, reports: Reports) -> Json:
    """CS reportUser. Errors: M_INVALID_PARAM, M_LIMIT_EXCEEDED."""
    user_id = parse_user_id(req.path["user_id"])
    reason = req.body(ReportBody).reason
    await reports.report(req.user_id, Subject(user_id=user_id), reason)
    return {}
