"""Sliding sync at the HTTP edge (MSC4186)."""

from typing import Final

from msgspec import Struct

from tremula.features.sliding_sync.connections import Position
from tremula.features.sliding_sync.request import Bodies
from tremula.features.sliding_sync.service import SlidingSync
from tremula.features.sliding_sync.storage import ConnectionKey
from tremula.features.sync.parts import PresenceWatch
from tremula.infra.http import Auth, Json, UserRequest, endpoint, long_poll
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import DeviceId
from tremula.protocol.presence import PresenceState

# Room for some hundred subscriptions, each with its state.
BODY_BYTES_MAX: Final = 512 * 1024


class SlidingSyncEdge(Struct, frozen=True):
    """What reading a request needs."""

    sliding_sync: SlidingSync
    bodies: Bodies
    presence: PresenceWatch


@long_poll
@endpoint(
    "POST",
    "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
    auth=Auth.USER,
    guest=True,
    max_body=BODY_BYTES_MAX,
)
async def sliding_sync(req: UserRequest, edge: SlidingSyncEdge) -> Json:
    """MSC4186. Errors: M_UNKNOWN_POS, M_INVALID_PARAM, M_BAD_JSON, M_NOT_JSON."""
    raw_position = req.query.get("pos")
    timeout_s = req.query.int("timeout", default=0, min=0) / 1000
    presence = _presence_state(req.query.get("set_presence"))
    body = edge.bodies.parse(req)
    edge.presence.touch(req.user_id, presence, hold_s=timeout_s)
    return await edge.sliding_sync.answer(
        ConnectionKey(req.user_id, req.device_id or DeviceId(""), body.conn_id),
        body,
        Position.parse(raw_position) if raw_position else None,
        timeout_s,
    )


def _presence_state(raw: str | None) -> PresenceState:
    try:
        return PresenceState(raw or "online")
    except ValueError:
        raise InvalidParam(f"unknown set_presence {raw!r}") from None
