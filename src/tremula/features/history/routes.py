"""Reading events at the HTTP edge (CS "Getting events for a room")."""

import orjson

from tremula.features.history.elsewhere import Wanted
from tremula.features.history.service import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    History,
    PageRequest,
)
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam, MissingParam, NotJson
from tremula.protocol.filters import RoomEventFilter
from tremula.protocol.identifiers import EventId, RoomId
from tremula.protocol.json import parse_json


@endpoint(
    "GET", "/_matrix/client/v3/rooms/{room_id}/messages", auth=Auth.USER, guest=True
)
async def get_room_events(req: UserRequest, history: History) -> Json:
    """CS getRoomEvents. Errors: M_FORBIDDEN, M_INVALID_PARAM, M_MISSING_PARAM."""
    wanted = _room_event_filter(req)
    page = await history.page(
        req.requester,
        RoomId(req.path["room_id"]),
        PageRequest(
            backwards=_direction(req) == "b",
            start=req.query.get("from") or None,
            stop=req.query.get("to") or None,
            limit=_limit(req, wanted),
            filter=wanted,
        ),
    )
    end = b',"end":"%b"' % page.end.encode() if page.end else b""
    state = b',"state":[%b]' % b",".join(page.state) if page.state else b""
    return b'{"chunk":[%b]%b,"start":%b%b}' % (
        b",".join(page.chunk),
        state,
        orjson.dumps(page.start),
        end,
    )


@endpoint(
    "GET",
    "/_matrix/client/v3/rooms/{room_id}/context/{event_id}",
    auth=Auth.USER,
    guest=True,
)
async def get_event_context(req: UserRequest, history: History) -> Json:
    """CS getEventContext. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM."""
    wanted = _room_event_filter(req)
    context = await history.context(
        req.requester,
        RoomId(req.path["room_id"]),
        EventId(req.path["event_id"]),
        wanted,
        limit=_limit(req, wanted),
    )
    return (
        b'{"event":%b,"events_before":[%b],"events_after":[%b],"state":[%b],'
        b'"start":"%b","end":"%b"}'
        % (
            context.event,
            b",".join(context.before),
            b",".join(context.after),
            b",".join(context.state),
            context.start.encode(),
            context.end.encode(),
        )
    )


@endpoint(
    "GET",
    "/_matrix/client/v3/rooms/{room_id}/event/{event_id}",
    auth=Auth.USER,
    guest=True,
)
async def get_one_room_event(req: UserRequest, history: History) -> Json:
    """CS getOneRoomEvent. Errors: M_NOT_FOUND."""
    return await history.event(
        req.requester, RoomId(req.path["room_id"]), EventId(req.path["event_id"])
    )


@endpoint(
    "GET",
    "/_matrix/client/v1/rooms/{room_id}/timestamp_to_event",
    auth=Auth.USER,
    limit="default",
)
async def get_event_by_timestamp(req: UserRequest, history: History) -> Json:
    """CS getEventByTimestamp. Errors: M_NOT_FOUND, M_FORBIDDEN, M_INVALID_PARAM."""
    ts_ms = req.query.int("ts")
    if ts_ms is None:
        raise MissingParam("missing query parameter 'ts'")
    event = await history.event_at(
        req.user_id,
        RoomId(req.path["room_id"]),
        Wanted(ts_ms, forwards=_direction(req) == "f"),
    )
    return {"event_id": event.event_id, "origin_server_ts": event.origin_server_ts}


def _direction(req: UserRequest) -> str:
    direction = req.query.require("dir")
    if direction not in {"b", "f"}:
        raise InvalidParam("dir must be b or f")
    return direction


def _limit(req: UserRequest, wanted: RoomEventFilter) -> int:
    default = wanted.limit or LIMIT_DEFAULT
    return req.query.int("limit", default=min(default, LIMIT_MAX), max=LIMIT_MAX)


def _room_event_filter(req: UserRequest) -> RoomEventFilter:
    raw = req.query.get("filter")
    if not raw:
        return RoomEventFilter()
    try:
        parsed = parse_json(raw.encode())
    except NotJson as error:
        raise InvalidParam("filter is not JSON") from error
    return RoomEventFilter.parse(parsed)
