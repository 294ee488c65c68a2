"""The threads of a room at the HTTP edge (CS "Threading")."""

from tremula.features.relations.routes import answer
from tremula.features.relations.threads import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    Threads,
    ThreadsRequest,
)
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import RoomId


@endpoint(
    "GET",
    "/_matrix/client/v1/rooms/{room_id}/threads",
    auth=Auth.USER,
    limit="default",
)
async def get_thread_roots(req: UserRequest, threads: Threads) -> Json:
    """CS getThreadRoots. Errors: M_FORBIDDEN, M_INVALID_PARAM."""
    include = req.query.get("include") or "all"
    if include not in {"all", "participated"}:
        raise InvalidParam("include must be all or participated")
    request = ThreadsRequest(
        participated=include == "participated",
        start=req.query.get("from") or None,
        limit=req.query.int("limit", default=LIMIT_DEFAULT, min=1, max=LIMIT_MAX),
    )
    page = await threads.page(req.requester, RoomId(req.path["room_id"]), request)
    return answer(page, {})
