"""Ephemeral events at the HTTP edge (``com.beeper.ephemeral``)."""

from tremula.features.ephemeral_events.service import EphemeralEvents, Sent
from tremula.infra.http import (
    EVENT_BODY_BYTES_MAX,
    Auth,
    Json,
    UserRequest,
    endpoint,
)
from tremula.protocol.canonical import INTEGER_MAX
from tremula.protocol.identifiers import RoomId, parse_txn_id


@endpoint(
    "PUT",
    "/_matrix/client/unstable/com.beeper.ephemeral/rooms/{room_id}/ephemeral/{event_type}/{txn_id}",
    auth=Auth.USER,
    limit="message",
    max_body=EVENT_BODY_BYTES_MAX,
)
async def send_ephemeral_event(req: UserRequest, ephemeral: EphemeralEvents) -> Json:
    """Tell a room of what need not be kept.

    Errors: M_FORBIDDEN, M_INVALID_PARAM, M_BAD_JSON, M_TOO_LARGE.
    """
    sent = Sent(
        room_id=RoomId(req.path["room_id"]),
        type=req.path["event_type"],
        txn_id=parse_txn_id(req.path["txn_id"]),
        content=req.json_object(),
        ts_ms=req.query.int("ts", max=INTEGER_MAX),
    )
    return {"event_id": await ephemeral.send(req.user_id, sent)}
