"""Events and states for other servers, at the HTTP edge (SS "Retrieving events",
"Backfilling and retrieving missing events").
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from tremula.features.federation_events.service import (
    EVENTS_MAX,
    EventsForServers,
    MissingRange,
)
from tremula.infra.http import Api, Auth, FederationRequest, Json, endpoint
from tremula.protocol.errors import BadJson, InvalidParam, MissingParam
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    parse_event_id,
)

_MISSING_DEFAULT = 10
# Twice what an event may name: more places to begin at no honest server has.
_STARTS_MAX = 40
_EARLIEST_MAX = 500


@endpoint(
    "GET",
    "/_matrix/federation/v1/event/{event_id}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def get_event(req: FederationRequest, events: EventsForServers) -> Json:
    """SS getEvent. Errors: M_NOT_FOUND, M_FORBIDDEN."""
    pdu = await events.event(req.origin, EventId(req.path["event_id"]))
    return _transaction(events, [pdu])


@endpoint(
    "GET",
    "/_matrix/federation/v1/state/{room_id}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def get_room_state(req: FederationRequest, events: EventsForServers) -> Json:
    """SS getRoomState. Errors: M_MISSING_PARAM, M_NOT_FOUND, M_FORBIDDEN."""
    state, chain = await events.state(
        req.origin, RoomId(req.path["room_id"]), EventId(req.query.require("event_id"))
    )
    return b'{"auth_chain":[%b],"pdus":[%b]}' % (b",".join(chain), b",".join(state))


@endpoint(
    "GET",
    "/_matrix/federation/v1/state_ids/{room_id}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def get_room_state_ids(req: FederationRequest, events: EventsForServers) -> Json:
    """SS getRoomStateIds. Errors: M_MISSING_PARAM, M_NOT_FOUND, M_FORBIDDEN."""
    state, chain = await events.state_ids(
        req.origin, RoomId(req.path["room_id"]), EventId(req.query.require("event_id"))
    )
    return {"auth_chain_ids": chain, "pdu_ids": state}


@endpoint(
    "GET",
    "/_matrix/federation/v1/event_auth/{room_id}/{event_id}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def get_event_auth(req: FederationRequest, events: EventsForServers) -> Json:
    """SS getEventAuth. Errors: M_NOT_FOUND, M_FORBIDDEN."""
    chain = await events.event_auth(
        req.origin, RoomId(req.path["room_id"]), EventId(req.path["event_id"])
    )
    return b'{"auth_chain":[%b]}' % b",".join(chain)


@endpoint(
    "GET",
    "/_matrix/federation/v1/backfill/{room_id}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def backfill_room(req: FederationRequest, events: EventsForServers) -> Json:
    """SS backfillRoom. Errors: M_MISSING_PARAM, M_INVALID_PARAM, M_FORBIDDEN."""
    limit = req.query.int("limit", min=1, max=EVENTS_MAX)
    starts = req.query.all("v")
    if limit is None or not starts:
        raise MissingParam("v and limit are needed")
    pdus = await events.backfill(
        req.origin,
        RoomId(req.path["room_id"]),
        [EventId(each) for each in _at_most(starts, _STARTS_MAX, "v")],
        limit=limit,
    )
    return _transaction(events, pdus)


@endpoint(
    "POST",
    "/_matrix/federation/v1/get_missing_events/{room_id}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def get_missing_previous_events(
    req: FederationRequest, events: EventsForServers
) -> Json:
    """SS getMissingPreviousEvents. Errors: M_BAD_JSON, M_INVALID_PARAM, M_FORBIDDEN."""
    body = req.json_object()
    wanted = MissingRange(
        earliest=frozenset(_event_ids(body, "earliest_events", _EARLIEST_MAX)),
        latest=_event_ids(body, "latest_events", _STARTS_MAX),
        min_depth=_integer(body, "min_depth", default=0),
        limit=min(_integer(body, "limit", default=_MISSING_DEFAULT), EVENTS_MAX),
    )
    pdus = await events.missing(req.origin, RoomId(req.path["room_id"]), wanted)
    return b'{"events":[%b]}' % b",".join(pdus)


@endpoint(
    "GET",
    "/_matrix/federation/v1/timestamp_to_event/{room_id}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def get_event_by_timestamp(
    req: FederationRequest, events: EventsForServers
) -> Json:
    """SS getEventByTimestamp. Errors: M_MISSING_PARAM, M_NOT_FOUND, M_FORBIDDEN."""
    direction = req.query.require("dir")
    if direction not in {"b", "f"}:
        raise InvalidParam("dir must be b or f")
    ts_ms = req.query.int("ts")
    if ts_ms is None:
        raise MissingParam("missing query parameter 'ts'")
    found = await events.event_at(
        req.origin, RoomId(req.path["room_id"]), ts_ms, forwards=direction == "f"
    )
    return {"event_id": found.event_id, "origin_server_ts": found.origin_server_ts}


def _transaction(events: EventsForServers, pdus: Iterable[bytes]) -> bytes:
    """*pdus* in the shape of a transaction."""
    return b'{"origin":%b,"origin_server_ts":%d,"pdus":[%b]}' % (
        orjson.dumps(events.own),
        events.clock.now_ms(),
        b",".join(pdus),
    )


def _event_ids(body: dict[str, Any], key: str, most: int) -> list[EventId]:
    raw = body.get(key)
    if not isinstance(raw, list):
        raise BadJson(f"{key} must be a list")
    return [parse_event_id(each) for each in _at_most(raw, most, key)]


def _at_most(values: Sequence[Any], most: int, name: str) -> Sequence[Any]:
    if len(values) > most:
        raise InvalidParam(f"{name} has at most {most} events")
    return values


def _integer(body: dict[str, Any], key: str, *, default: int) -> int:
    value = body.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadJson(f"{key} must be an integer of 0 or more")
    return value
