"""Thread subscriptions at the HTTP edge (MSC4306, MSC4308)."""

import re
from typing import Final

import msgspec
from msgspec import UNSET

from tremula.features.thread_subscriptions.service import ThreadSubscriptions
from tremula.features.thread_subscriptions.storage import Kind
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import EventId, RoomId

_PATH: Final = (
    "/_matrix/client/unstable/io.element.msc4306"
    "/rooms/{room_id}/thread/{root_id}/subscription"
)
LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000

# Of `prev_batch` and `end`, and what sliding sync calls `pos`.
_TOKEN: Final = re.compile(r"(?:s|[0-9]{1,18}_)([0-9]{1,18})", re.ASCII)
_POS_MAX: Final = 2**62


class SubscriptionBody(msgspec.Struct):
    """Body of `PUT subscription`."""

    automatic: object = UNSET


@endpoint("GET", _PATH, auth=Auth.USER)
async def get_thread_subscription(
    req: UserRequest, subscriptions: ThreadSubscriptions
) -> Json:
    """MSC4306. Errors: M_NOT_FOUND."""
    found = await subscriptions.find(req.user_id, *_thread(req))
    return {"automatic": found.kind is Kind.AUTOMATIC}


@endpoint("PUT", _PATH, auth=Auth.USER, limit="default")
async def put_thread_subscription(
    req: UserRequest, subscriptions: ThreadSubscriptions
) -> Json:
    """MSC4306. Errors: M_NOT_FOUND, M_INVALID_PARAM, M_NOT_IN_THREAD and
    M_CONFLICTING_UNSUBSCRIPTION with the prefix of the MSC.
    """
    cause_id = req.body(SubscriptionBody).automatic
    if cause_id is not UNSET and not isinstance(cause_id, str):
        raise InvalidParam("automatic must be an event ID")
    await subscriptions.subscribe(
        req.user_id,
        *_thread(req),
        cause_id=EventId(cause_id) if isinstance(cause_id, str) else None,
    )
    return {}


@endpoint("DELETE", _PATH, auth=Auth.USER, limit="default")
async def delete_thread_subscription(
    req: UserRequest, subscriptions: ThreadSubscriptions
) -> Json:
    """MSC4306. Errors: M_NOT_FOUND."""
    await subscriptions.unsubscribe(req.user_id, *_thread(req))
    return {}


@endpoint(
    "GET",
    "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions",
    auth=Auth.USER,
    limit="default",
)
async def get_thread_subscriptions(
    req: UserRequest, subscriptions: ThreadSubscriptions
) -> Json:
    """MSC4308. Errors: M_INVALID_PARAM, M_MISSING_PARAM."""
    if req.query.require("dir") != "b":
        raise InvalidParam("dir must be b")
    start, stop = req.query.get("from"), req.query.get("to")
    changes = await subscriptions.changes(
        req.user_id,
        since=_pos(stop) if stop else 0,
        up_to=_pos(start) if start else _POS_MAX,
        limit=req.query.int("limit", default=LIMIT_DEFAULT, min=1, max=LIMIT_MAX),
    )
    return changes.to_json("end")


def _thread(req: UserRequest) -> tuple[RoomId, EventId]:
    return RoomId(req.path["room_id"]), EventId(req.path["root_id"])


def _pos(raw: str) -> int:
    match = _TOKEN.fullmatch(raw)
    if match is None:
        raise InvalidParam("not a token of this server")
    return int(match[1])
