"""Sending events at the HTTP edge (CS "Sending events to a room", "Redactions")."""

import msgspec

from tremula.features.messages.service import Messages
from tremula.infra.http import (
    EVENT_BODY_BYTES_MAX,
    Auth,
    Json,
    UserRequest,
    endpoint,
)
from tremula.protocol.identifiers import DeviceId, EventId, RoomId, parse_txn_id
from tremula.rooms.events import TxnKey


class RedactBody(msgspec.Struct):
    """Body of CS ``redactEvent``."""

    reason: str | None = None


@endpoint(
    "PUT",
    "/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{txn_id}",
    auth=Auth.USER,
    limit="message",
    guest=True,
    max_body=EVENT_BODY_BYTES_MAX,
)
async def send_message(req: UserRequest, messages: Messages) -> Json:
    """CS sendMessage. Errors: M_FORBIDDEN, M_NOT_FOUND, M_TOO_LARGE, M_BAD_JSON."""
    event_id = await messages.send(
        req.requester,
        RoomId(req.path["room_id"]),
        event_type=req.path["event_type"],
        content=req.json_object(),
        txn=_txn_key(req),
    )
    return {"event_id": event_id}


@endpoint(
    "PUT",
    "/_matrix/client/v3/rooms/{room_id}/redact/{event_id}/{txn_id}",
    auth=Auth.USER,
    limit="message",
)
async def redact_event(req: UserRequest, messages: Messages) -> Json:
    """CS redactEvent. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_JSON."""
    reason = req.body(RedactBody).reason
    event_id = await messages.redact(
        req.requester,
        RoomId(req.path["room_id"]),
        EventId(req.path["event_id"]),
        content={} if reason is None else {"reason": reason},
        txn=_txn_key(req),
    )
    return {"event_id": event_id}


@endpoint(
    "PUT",
    "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/{state_key}",
    auth=Auth.USER,
    limit="message",
    guest=True,
    max_body=EVENT_BODY_BYTES_MAX,
)
@endpoint(
    "PUT",
    "/_matrix/client/v3/rooms/{room_id}/state/{event_type}",
    auth=Auth.USER,
    limit="message",
    guest=True,
    max_body=EVENT_BODY_BYTES_MAX,
)
async def set_room_state_with_key(req: UserRequest, messages: Messages) -> Json:
    """CS setRoomStateWithKey. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_ALIAS."""
    event_id = await messages.send_state(
        req.requester,
        RoomId(req.path["room_id"]),
        key=(req.path["event_type"], req.path.get("state_key", "")),
        content=req.json_object(),
    )
    return {"event_id": event_id}


def _txn_key(req: UserRequest) -> TxnKey:
    # Application services that act without a device share one.
    return TxnKey(req.device_id or DeviceId(""), parse_txn_id(req.path["txn_id"]))
