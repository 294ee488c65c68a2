"""`/sync` at the HTTP edge (CS "Syncing")."""

from dataclasses import dataclass

from tremula.features.filters.service import Filters
from tremula.features.sync.parts import PresenceWatch
from tremula.features.sync.request import StateForm, SyncRequest
from tremula.features.sync.service import Sync
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.infra.http.query import Query
from tremula.infra.tokens import StreamToken
from tremula.protocol.errors import InvalidParam
from tremula.protocol.filters import NO_FILTER
from tremula.protocol.presence import PresenceState


@dataclass(frozen=True, slots=True)
class SyncEdge:
    """What reading the parameters of CS ``sync`` needs."""

    sync: Sync
    filters: Filters
    presence: PresenceWatch


@endpoint("GET", "/_matrix/client/v3/sync", auth=Auth.USER, guest=True)
async def sync(req: UserRequest, edge: SyncEdge) -> Json:
    """CS sync. Errors: M_INVALID_PARAM, M_BAD_JSON, M_NOT_JSON."""
    query = req.query
    since = query.get("since")
    filter_param = query.get("filter")
    request = SyncRequest(
        user_id=req.user_id,
        device_id=req.device_id,
        since=StreamToken.parse(since) if since else None,
        filter=(
            await edge.filters.resolve(req.user_id, filter_param)
            if filter_param
            else NO_FILTER
        ),
        timeout_s=query.int("timeout", default=0, min=0) / 1000,
        full_state=query.bool("full_state", default=False),
        state_form=_state_form(query),
    )
    edge.presence.touch(
        req.user_id,
        _presence_state(query.get("set_presence")),
        hold_s=request.timeout_s,
    )
    return await edge.sync.answer(request)


def _presence_state(raw: str | None) -> PresenceState:
    try:
        return PresenceState(raw or "online")
    except ValueError:
        raise InvalidParam(f"unknown set_presence {raw!r}") from None


def _state_form(query: Query) -> StateForm:
    if query.bool("use_state_after", default=False):
        return StateForm.AFTER
    if query.bool("org.matrix.msc4222.use_state_after", default=False):
        return StateForm.UNSTABLE_AFTER
    return StateForm.START
