"""Receipts and read markers at the HTTP edge."""

import msgspec
from msgspec import UNSET, UnsetType

from tremula.features.receipts.service import Receipts
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import EventId, RoomId
from tremula.protocol.receipts import Receipt, ReceiptType, parse_thread_id


class ReceiptBody(msgspec.Struct):
    """Body of CS ``postReceipt``."""

    # Typed `object` so that a wrong type is M_INVALID_PARAM, not M_BAD_JSON.
    thread_id: object = UNSET


class ReadMarkersBody(msgspec.Struct):
    """Body of CS ``setReadMarker``."""

    fully_read: str | UnsetType = msgspec.field(name="m.fully_read", default=UNSET)
    read: str | UnsetType = msgspec.field(name="m.read", default=UNSET)
    read_private: str | UnsetType = msgspec.field(name="m.read.private", default=UNSET)


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/receipt/{receipt_type}/{event_id}",
    auth=Auth.USER,
    limit="receipts",
)
async def post_receipt(req: UserRequest, receipts: Receipts) -> Json:
    """CS postReceipt. Errors: M_INVALID_PARAM, M_FORBIDDEN, M_NOT_FOUND."""
    thread_id = req.body(ReceiptBody).thread_id
    receipt = Receipt(
        type=_parse_receipt_type(req.path["receipt_type"]),
        event_id=EventId(req.path["event_id"]),
        thread_id=None if thread_id is UNSET else parse_thread_id(thread_id),
    )
    if receipt.thread_id is not None and receipt.type is ReceiptType.FULLY_READ:
        raise InvalidParam("m.fully_read has no thread_id")
    await receipts.record(req.user_id, RoomId(req.path["room_id"]), [receipt])
    return {}


@endpoint(
    "POST",
    "/_matrix/client/v3/rooms/{room_id}/read_markers",
    auth=Auth.USER,
    limit="receipts",
)
async def set_read_marker(req: UserRequest, receipts: Receipts) -> Json:
    """CS setReadMarker. Errors: M_BAD_JSON, M_FORBIDDEN, M_NOT_FOUND."""
    body = req.body(ReadMarkersBody)
    markers = (
        (ReceiptType.FULLY_READ, body.fully_read),
        (ReceiptType.READ, body.read),
        (ReceiptType.READ_PRIVATE, body.read_private),
    )
    moved = [
        Receipt(receipt_type, EventId(event_id))
        for receipt_type, event_id in markers
        if event_id is not UNSET
    ]
    await receipts.record(req.user_id, RoomId(req.path["room_id"]), moved)
    return {}


def _parse_receipt_type(raw: str) -> ReceiptType:
    try:
        return ReceiptType(raw)
    except ValueError:
        raise InvalidParam(f"unknown receipt type {raw!r}") from None
