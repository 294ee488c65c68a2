"""Notices as administrators send them; not in the specification."""

import msgspec

from tremula.features.server_notices.service import ServerNotices
from tremula.infra.http import Api, Auth, Json, UserRequest, endpoint
from tremula.protocol.identifiers import parse_user_id


class NoticeBody(msgspec.Struct):
    """Whom to tell what."""

    user_id: str
    body: str


@endpoint("POST", "/_tremula/admin/v1/notices", auth=Auth.USER, api=Api.ADMIN)
async def send_notice(req: UserRequest, notices: ServerNotices) -> Json:
    """Send a notice. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_NOT_FOUND."""
    req.check_admin()
    body = req.body(NoticeBody)
    event_id = await notices.send(parse_user_id(body.user_id), body.body)
    return {"event_id": event_id}
