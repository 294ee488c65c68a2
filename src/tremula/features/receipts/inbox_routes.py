"""The inbox of bridged users at the HTTP edge (``com.beeper.inbox_state``)."""

import msgspec

from tremula.features.receipts.inbox import Done, Inbox
from tremula.features.receipts.read_markers import ReadMarkersBody
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.identifiers import parse_room_id


class InboxStateBody(msgspec.Struct):
    """What to change; the rest stays as it is."""

    marked_unread: bool | None = None
    done: Done | None = None
    read_markers: ReadMarkersBody | None = None


@endpoint(
    "PUT",
    "/_matrix/client/unstable/com.beeper.inbox/user/{user_id}/rooms/{room_id}/inbox_state",
    auth=Auth.USER,
    limit="receipts",
)
async def set_inbox_state(req: UserRequest, inbox: Inbox) -> Json:
    """Set several things about a room at once.

    Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_JSON, M_INVALID_PARAM.
    """
    req.check_own()
    body = req.body(InboxStateBody)
    markers = body.read_markers
    await inbox.set_state(
        req.user_id,
        parse_room_id(req.path["room_id"]),
        markers=markers.parse(clears_unread=True) if markers else None,
        marked_unread=body.marked_unread,
        done=body.done,
    )
    return {}
