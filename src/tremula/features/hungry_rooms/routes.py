"""Batches of messages at the HTTP edge; not in the specification."""

from typing import Annotated, Any, Final

import msgspec

from tremula.features.hungry_rooms.service import BatchRequest, HungryRooms
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import RoomId, UserId, parse_user_id
from tremula.protocol.local_events import parse_chosen_event_id
from tremula.rooms.batches import BatchEvent, Direction
from tremula.rooms.room import REDACTION

EVENTS_MAX: Final = 10_000
BATCH_BYTES_MAX: Final = 32 * 1024 * 1024
_TS_MAX: Final = 2**53 - 1


class BatchEventBody(msgspec.Struct):
    """An entry of ``events``."""

    type: str
    sender: str
    content: dict[str, Any]
    event_id: str | None = None
    room_id: str | None = None
    state_key: str | None = None
    origin_server_ts: Annotated[int, msgspec.Meta(ge=0, le=_TS_MAX)] | None = None


class BatchBody(msgspec.Struct):
    """Body of `batch_send`. ``events`` are in order, the oldest first."""

    events: list[BatchEventBody]
    forward: bool = False
    forward_if_no_messages: bool = False
    send_notification: bool = False
    mark_read_by: str | None = None


@endpoint(
    "POST",
    "/_matrix/client/unstable/com.beeper.backfill/rooms/{room_id}/batch_send",
    auth=Auth.USER,
    limit="message",
    max_body=None,
)
async def batch_send(req: UserRequest, hungry_rooms: HungryRooms) -> Json:
    """Send many messages at once.

    Errors: M_FORBIDDEN, M_INVALID_PARAM, M_BAD_JSON, M_TOO_LARGE.
    """
    # Nobody else has so much read.
    hungry_rooms.check_appservice(req.requester)
    req.raw_body = await req.stream.read(BATCH_BYTES_MAX)
    body = req.body(BatchBody)
    room_id = RoomId(req.path["room_id"])
    if len(body.events) > EVENTS_MAX:
        raise InvalidParam(f"no more than {EVENTS_MAX} events at once")
    senders = {each: parse_user_id(each) for each in {e.sender for e in body.events}}
    request = BatchRequest(
        events=[_event(each, room_id, senders[each.sender]) for each in body.events],
        direction=_direction(body),
        notifies=body.send_notification,
        mark_read_by=parse_user_id(body.mark_read_by) if body.mark_read_by else None,
    )
    return {"event_ids": await hungry_rooms.send_batch(req.requester, room_id, request)}


def _direction(body: BatchBody) -> Direction:
    if body.forward:
        return Direction.APPEND
    if body.forward_if_no_messages:
        return Direction.APPEND_IF_EMPTY
    return Direction.PREPEND


def _event(body: BatchEventBody, room_id: RoomId, sender: UserId) -> BatchEvent:
    if body.room_id not in {None, room_id}:
        raise InvalidParam("an event is of another room")
    if body.state_key is not None or body.type == REDACTION:
        raise InvalidParam("neither state nor redactions can be sent in a batch")
    return BatchEvent(
        type=body.type,
        sender=sender,
        content=body.content,
        event_id=parse_chosen_event_id(body.event_id) if body.event_id else None,
        origin_server_ts=body.origin_server_ts,
    )
