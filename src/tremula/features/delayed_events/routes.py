"""Delayed events at the HTTP edge (MSC4140), in every form that clients use."""

from typing import Any, Final

import msgspec

from tremula.features.delayed_events.delayed_event import Action
from tremula.features.delayed_events.service import DelayedEvents
from tremula.features.messages.service import DelayedDraft
from tremula.infra.http import (
    EVENT_BODY_BYTES_MAX,
    Auth,
    Json,
    OptionalUserRequest,
    UserRequest,
    endpoint,
)
from tremula.protocol.delays import parse_delay
from tremula.protocol.errors import InvalidParam, MissingParam
from tremula.protocol.identifiers import RoomId, parse_txn_id

_UNSTABLE: Final = "/_matrix/client/unstable/org.matrix.msc4140"


class DelayedEventBody(msgspec.Struct):
    """Body of ``PUT …/delayed_event/…``; ``delay`` as it was called before."""

    content: dict[str, Any]
    state_key: str | None = None
    delay_ms: int | None = None
    delay: int | None = None


class ActionBody(msgspec.Struct):
    """Body of the older ``POST …/delayed_events/{delay_id}``."""

    action: str


@endpoint(
    "PUT",
    "/_matrix/client/v3/rooms/{room_id}/delayed_event/{event_type}/{txn_id}",
    auth=Auth.USER,
    limit="message",
    guest=True,
    max_body=EVENT_BODY_BYTES_MAX,
)
@endpoint(
    "PUT",
    f"{_UNSTABLE}/rooms/{{room_id}}/delayed_event/{{event_type}}/{{txn_id}}",
    auth=Auth.USER,
    limit="message",
    guest=True,
    max_body=EVENT_BODY_BYTES_MAX,
)
async def schedule_delayed_event(req: UserRequest, delayed: DelayedEvents) -> Json:
    """MSC4140 "Scheduling a delayed event". Errors: M_BAD_JSON, M_LIMIT_EXCEEDED."""
    body = req.body(DelayedEventBody)
    delay_ms = body.delay if body.delay_ms is None else body.delay_ms
    if delay_ms is None:
        raise MissingParam("missing key 'delay_ms'")
    draft = DelayedDraft(
        room_id=RoomId(req.path["room_id"]),
        type=req.path["event_type"],
        content=body.content,
        delay_ms=parse_delay(delay_ms),
        state_key=body.state_key,
        txn_id=parse_txn_id(req.path["txn_id"]),
    )
    return {"delay_id": await delayed.schedule(req.requester, draft)}


@endpoint(
    "GET",
    "/_matrix/client/v1/delayed_events",
    auth=Auth.USER,
    limit="delayed_events",
    guest=True,
)
@endpoint(
    "GET",
    f"{_UNSTABLE}/delayed_events",
    auth=Auth.USER,
    limit="delayed_events",
    guest=True,
)
async def get_delayed_events(req: UserRequest, delayed: DelayedEvents) -> Json:
    """MSC4140 "Getting a list of delayed events", as clients knew it before MSC4486.

    ``delayed_events`` are those still scheduled. Errors: M_INVALID_PARAM.
    """
    status = req.query.get("status")
    if status not in {None, "scheduled", "finalised"}:
        raise InvalidParam("status must be scheduled or finalised")
    answer: dict[str, Any] = {}
    if status != "finalised":
        events = await delayed.scheduled_of(req.user_id)
        answer["delayed_events"] = [event.to_json() for event in events]
        # COMPAT(matrix-dart-sdk, matrix-js-sdk): the name in between.
        answer["scheduled"] = answer["delayed_events"]
    if status != "scheduled":
        events = await delayed.finalised_of(req.user_id)
        answer["finalised"] = [event.to_json() for event in events]
    return answer


@endpoint(
    "GET",
    "/_matrix/client/v1/delayed_events/{delay_id}",
    auth=Auth.USER,
    limit="delayed_events",
    guest=True,
)
@endpoint(
    "GET",
    f"{_UNSTABLE}/delayed_events/{{delay_id}}",
    auth=Auth.USER,
    limit="delayed_events",
    guest=True,
)
async def get_delayed_event(req: UserRequest, delayed: DelayedEvents) -> Json:
    """MSC4140 "Getting a single delayed event". Errors: M_NOT_FOUND."""
    return (await delayed.get(req.user_id, req.path["delay_id"])).to_json()


@endpoint(
    "POST",
    "/_matrix/client/v1/delayed_events/{delay_id}/{action}",
    auth=Auth.OPTIONAL,
    limit="delayed_events",
    guest=True,
)
@endpoint(
    "POST",
    f"{_UNSTABLE}/delayed_events/{{delay_id}}/{{action}}",
    auth=Auth.OPTIONAL,
    limit="delayed_events",
    guest=True,
)
async def update_delayed_event(
    req: OptionalUserRequest, delayed: DelayedEvents
) -> Json:
    """MSC4140 "Managing delayed events": whoever knows the ID may. Errors: M_NOT_FOUND,
    M_INVALID_PARAM, (409) M_UNKNOWN.
    """
    await delayed.act(req.path["delay_id"], _parse_action(req.path["action"]))
    return {}


@endpoint(
    "POST",
    f"{_UNSTABLE}/delayed_events/{{delay_id}}",
    auth=Auth.OPTIONAL,
    limit="delayed_events",
    guest=True,
)
async def update_delayed_event_by_body(
    req: OptionalUserRequest, delayed: DelayedEvents
) -> Json:
    """The same in its older form. Errors: M_NOT_FOUND, M_INVALID_PARAM, M_BAD_JSON."""
    action = _parse_action(req.body(ActionBody).action)
    await delayed.act(req.path["delay_id"], action)
    return {}


def _parse_action(raw: str) -> Action:
    try:
        return Action(raw)
    except ValueError:
        raise InvalidParam("action must be send, cancel or restart") from None
