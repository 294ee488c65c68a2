"""The deprecated event stream at the HTTP edge (CS "Syncing")."""

from tremula.features.history.service import LIMIT_DEFAULT, LIMIT_MAX
from tremula.features.old_sync.service import OldSync
from tremula.infra.http import Auth, Json, UserRequest, endpoint, long_poll
from tremula.infra.tokens import StreamToken
from tremula.protocol.identifiers import EventId, RoomId


@long_poll
@endpoint("GET", "/_matrix/client/v3/events", auth=Auth.USER, guest=True)
async def get_events(req: UserRequest, old_sync: OldSync) -> Json:
    """CS getEvents, and with a room ID CS peekEvents.

    Errors: M_INVALID_PARAM, M_FORBIDDEN.
    """
    query = req.query
    start = query.get("from") or None
    timeout_s = query.int("timeout", default=0, min=0) / 1000
    room_id = query.get("room_id")
    if room_id:
        chunk = await old_sync.peek(req.requester, RoomId(room_id), start, timeout_s)
    else:
        since = StreamToken.parse(start) if start else None
        chunk = await old_sync.listen(req.requester, since, timeout_s)
    return b'{"start":"%b","end":"%b","chunk":[%b]}' % (
        chunk.start.encode(),
        chunk.end.encode(),
        b",".join(chunk.events),
    )


@endpoint("GET", "/_matrix/client/v3/events/{event_id}", auth=Auth.USER)
async def get_one_event(req: UserRequest, old_sync: OldSync) -> Json:
    """CS getOneEvent. Errors: M_NOT_FOUND."""
    return await old_sync.event(req.requester, EventId(req.path["event_id"]))


@endpoint("GET", "/_matrix/client/v3/initialSync", auth=Auth.USER)
async def initial_sync(req: UserRequest, old_sync: OldSync) -> Json:
    """CS initialSync. Errors: M_INVALID_PARAM."""
    return await old_sync.initial(
        req.requester,
        limit=req.query.int("limit", default=LIMIT_DEFAULT, max=LIMIT_MAX),
        archived=req.query.bool("archived", default=False),
    )
