"""Receipts and read markers at the HTTP edge."""

import msgspec
from msgspec import UNSET

from tremula.features.receipts.read_markers import ReadMarkersBody
from tremula.features.receipts.service import Markers, Receipts
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import EventId, RoomId
from tremula.protocol.receipts import Receipt, ReceiptType, parse_thread_id


class ReceiptBody(msgspec.Struct):
    """Body of CS ``postReceipt``, with MSC4446."""

    # Typed `object` so that a wrong type is M_INVALID_PARAM, not M_BAD_JSON.
    thread_id: object = UNSET
    allow_backward: bool = False
    unstable_allow_backward: bool = msgspec.field(
        name="com.beeper.allow_backward", default=False
    )


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/receipt/{receipt_type}/{event_id}",
    auth=Auth.USER,
    limit="receipts",
)
async def post_receipt(req: UserRequest, receipts: Receipts) -> Json:
    """CS postReceipt. Errors: M_INVALID_PARAM, M_FORBIDDEN, M_NOT_FOUND."""
    body = req.body(ReceiptBody)
    thread_id = body.thread_id
    receipt = Receipt(
        type=_parse_receipt_type(req.path["receipt_type"]),
        event_id=EventId(req.path["event_id"]),
        thread_id=None if thread_id is UNSET else parse_thread_id(thread_id),
    )
    if receipt.thread_id is not None and receipt.type is ReceiptType.FULLY_READ:
        raise InvalidParam("m.fully_read has no thread_id")
    may_go_back = body.allow_backward or body.unstable_allow_backward
    if may_go_back and receipt.type is not ReceiptType.FULLY_READ:
        raise InvalidParam("allow_backward is for m.fully_read only")
    markers = Markers((receipt,), may_go_back=may_go_back)
    await receipts.record(req.user_id, RoomId(req.path["room_id"]), markers)
    return {}


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/read_markers",
    auth=Auth.USER,
    limit="receipts",
)
async def set_read_marker(req: UserRequest, receipts: Receipts) -> Json:
    """CS setReadMarker. Errors: M_BAD_JSON, M_FORBIDDEN, M_NOT_FOUND."""
    markers = req.body(ReadMarkersBody).parse()
    await receipts.record(req.user_id, RoomId(req.path["room_id"]), markers)
    return {}


def _parse_receipt_type(raw: str) -> ReceiptType:
    try:
        return ReceiptType(raw)
    except ValueError:
        raise InvalidParam(f"unknown receipt type {raw!r}") from None
