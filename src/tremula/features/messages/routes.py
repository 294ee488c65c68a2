"""Sending events at the HTTP edge (CS "Sending events to a room", "Redactions")."""

import msgspec

from tremula.features.messages.service import DelayedDraft, Delays, Messages
from tremula.infra.http import (
    EVENT_BODY_BYTES_MAX,
    Auth,
    Json,
    UserRequest,
    endpoint,
)
from tremula.protocol.canonical import INTEGER_MAX
from tremula.protocol.delays import DELAY_MAX_MS, parse_delay
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import DeviceId, EventId, RoomId, parse_txn_id
from tremula.protocol.local_events import parse_chosen_event_id
from tremula.rooms.events import NOTHING_CHOSEN, Chosen, TxnKey


class Sending(msgspec.Struct, frozen=True):
    """What sends at once, and what later: one request may ask for either."""

    messages: Messages
    delays: Delays


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
async def send_message(req: UserRequest, sending: Sending) -> Json:
    """CS sendMessage. Errors: M_FORBIDDEN, M_NOT_FOUND, M_TOO_LARGE, M_BAD_JSON."""
    room_id, event_type = RoomId(req.path["room_id"]), req.path["event_type"]
    txn = _txn_key(req)
    delay_ms = _find_delay_ms(req)
    if delay_ms is not None:
        later = DelayedDraft(
            room_id=room_id,
            type=event_type,
            content=req.json_object(),
            delay_ms=delay_ms,
            txn_id=txn.txn_id,
        )
        return {"delay_id": await sending.delays.schedule(req.requester, later)}
    event_id = await sending.messages.send(
        req.requester,
        room_id,
        event_type=event_type,
        content=req.json_object(),
        txn=txn,
        chosen=_chosen(req),
    )
    return {"event_id": event_id}


@endpoint(
    "PUT",
    "/_matrix/client/v3/rooms/{room_id}/redact/{event_id}/{txn_id}",
    auth=Auth.USER,
    limit="message",
)
async def redact_event(req: UserRequest, sending: Sending) -> Json:
    """CS redactEvent. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_JSON."""
    reason = req.body(RedactBody).reason
    event_id = await sending.messages.redact(
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
async def set_room_state_with_key(req: UserRequest, sending: Sending) -> Json:
    """CS setRoomStateWithKey. Errors: M_FORBIDDEN, M_NOT_FOUND, M_BAD_ALIAS."""
    room_id = RoomId(req.path["room_id"])
    event_type, state_key = req.path["event_type"], req.path.get("state_key", "")
    delay_ms = _find_delay_ms(req)
    if delay_ms is not None:
        later = DelayedDraft(
            room_id=room_id,
            type=event_type,
            content=req.json_object(),
            delay_ms=delay_ms,
            state_key=state_key,
        )
        return {"delay_id": await sending.delays.schedule(req.requester, later)}
    event_id = await sending.messages.send_state(
        req.requester,
        room_id,
        key=(event_type, state_key),
        content=req.json_object(),
        txn=_find_txn_key(req),
        chosen=_chosen(req),
    )
    return {"event_id": event_id}


def _chosen(req: UserRequest) -> Chosen:
    """What an application service chooses of an event: AS "Timestamp massaging", and
    its ID. Of others it counts for nothing.

    Raises:
        InvalidParam: it can't be that.
    """
    if req.requester.appservice_id is None:
        return NOTHING_CHOSEN
    ts_ms = req.query.int("ts")
    if ts_ms is not None and ts_ms > INTEGER_MAX:
        raise InvalidParam("ts is too large")
    event_id = req.query.get("fi.mau.event_id")
    if event_id is not None:
        event_id = parse_chosen_event_id(event_id)
    return Chosen(ts_ms, event_id)


def _find_txn_key(req: UserRequest) -> TxnKey | None:
    """The transaction ID that an application service gives to state, if it does."""
    txn_id = req.query.get("fi.mau.transaction_id")
    if txn_id is None or req.requester.appservice_id is None:
        return None
    return TxnKey(req.device_id or DeviceId(""), parse_txn_id(txn_id))


def _txn_key(req: UserRequest) -> TxnKey:
    # Application services that act without a device share one.
    return TxnKey(req.device_id or DeviceId(""), parse_txn_id(req.path["txn_id"]))


def _find_delay_ms(req: UserRequest) -> int | None:
    """For how long the event is to be held back (MSC4140), if it is.

    Raises:
        InvalidParam: it is no positive number.
    """
    delay_ms = req.query.int("org.matrix.msc4140.delay", max=DELAY_MAX_MS)
    return None if delay_ms is None else parse_delay(delay_ms)
