"""`/sync` at the HTTP edge (CS "Syncing")."""

from functools import lru_cache
from typing import Final

from msgspec import Struct

from tremula.features.filters.service import Filters
from tremula.features.sync.parts import PresenceWatch
from tremula.features.sync.request import StateForm, SyncRequest
from tremula.features.sync.service import Sync
from tremula.infra.http import Auth, Json, UserRequest, endpoint, long_poll
from tremula.infra.http.query import Query
from tremula.infra.tokens import StreamToken
from tremula.protocol.errors import InvalidParam
from tremula.protocol.filters import NO_FILTER, Filter
from tremula.protocol.identifiers import UserId
from tremula.protocol.presence import PresenceState

_REMEMBERED_BYTES_MAX: Final = 1024


class SyncEdge(Struct, frozen=True):
    """What reading the parameters of CS ``sync`` needs."""

    sync: Sync
    filters: Filters
    presence: PresenceWatch


@long_poll
@endpoint("GET", "/_matrix/client/v3/sync", auth=Auth.USER, guest=True)
async def sync(req: UserRequest, edge: SyncEdge) -> Json:
    """CS sync. Errors: M_INVALID_PARAM, M_BAD_JSON, M_NOT_JSON."""
    wanted = _parameters(req.query_string)
    user_id = req.user_id
    shape = wanted.resolved
    if shape is None:
        shape = await _resolve(edge.filters, user_id, wanted)
    request = SyncRequest(
        user_id=user_id,
        device_id=req.device_id,
        since=wanted.since,
        filter=shape,
        timeout_s=wanted.timeout_s,
        full_state=wanted.full_state,
        state_form=wanted.state_form,
    )
    edge.presence.touch(user_id, wanted.presence, hold_s=wanted.timeout_s)
    return await edge.sync.answer(request)


class _Parameters(Struct):
    """``resolved`` is the filter, once it is known and the same for all users."""

    since: StreamToken | None
    filter: str | None
    timeout_s: float
    full_state: bool
    state_form: StateForm
    presence: PresenceState
    resolved: Filter | None = None


async def _resolve(filters: Filters, user_id: UserId, wanted: _Parameters) -> Filter:
    raw = wanted.filter
    found = await filters.resolve(user_id, raw) if raw else NO_FILTER
    if not raw or raw.startswith("{"):
        wanted.resolved = found
    return found


def _parameters(query_string: bytes) -> _Parameters:
    if len(query_string) > _REMEMBERED_BYTES_MAX:
        return _parse(query_string)
    return _remembered(query_string)


def _parse(query_string: bytes) -> _Parameters:
    query = Query(query_string)
    since = query.get("since")
    return _Parameters(
        since=StreamToken.parse(since) if since else None,
        filter=query.get("filter"),
        timeout_s=query.int("timeout", default=0, min=0) / 1000,
        full_state=query.bool("full_state", default=False),
        state_form=_state_form(query),
        presence=_presence_state(query.get("set_presence")),
    )


# All who were shown the same message ask next in the same words.
_remembered: Final = lru_cache(maxsize=512)(_parse)


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
