"""Relations and threads at the HTTP edge (CS "Relations API", "Threading")."""

import orjson

from tremula.features.relations import service
from tremula.features.relations.service import (
    Relations,
    RelationsPage,
    RelationsRequest,
)
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import EventId, RoomId


@endpoint(
    "GET",
    "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}",
    auth=Auth.USER,
)
async def get_relating_events(req: UserRequest, relations: Relations) -> Json:
    """CS getRelatingEvents. Errors: M_NOT_FOUND, M_INVALID_PARAM."""
    return await _page(req, relations)


@endpoint(
    "GET",
    "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}/{rel_type}",
    auth=Auth.USER,
)
async def get_relating_events_with_rel_type(
    req: UserRequest, relations: Relations
) -> Json:
    """CS getRelatingEventsWithRelType. Errors: M_NOT_FOUND, M_INVALID_PARAM."""
    return await _page(req, relations, rel_type=req.path["rel_type"])


@endpoint(
    "GET",
    "/_matrix/client/v1/rooms/{room_id}/relations/{event_id}/{rel_type}/{event_type}",
    auth=Auth.USER,
)
async def get_relating_events_with_rel_type_and_event_type(
    req: UserRequest, relations: Relations
) -> Json:
    """CS getRelatingEventsWithRelTypeAndEventType.

    Errors: M_NOT_FOUND, M_INVALID_PARAM.
    """
    return await _page(
        req,
        relations,
        rel_type=req.path["rel_type"],
        event_type=req.path["event_type"],
    )


async def _page(
    req: UserRequest, relations: Relations, *, rel_type: str = "", event_type: str = ""
) -> Json:
    request = RelationsRequest(
        event_id=EventId(req.path["event_id"]),
        rel_type=rel_type,
        event_type=event_type,
        backwards=_is_backwards(req),
        recurse=req.query.bool("recurse"),
        start=req.query.get("from") or None,
        stop=req.query.get("to") or None,
        limit=req.query.int(
            "limit", default=service.LIMIT_DEFAULT, min=1, max=service.LIMIT_MAX
        ),
    )
    page = await relations.page(req.requester, RoomId(req.path["room_id"]), request)
    more: dict[str, object] = {}
    if request.start is not None:
        more["prev_batch"] = request.start
    if req.query.get("recurse") is not None:
        more["recursion_depth"] = request.depth
    return answer(page, more)


def answer(page: RelationsPage, more: dict[str, object]) -> bytes:
    """The JSON of *page*, with the members *more*."""
    if page.next_batch is not None:
        more["next_batch"] = page.next_batch
    members = b"," + orjson.dumps(more)[1:-1] if more else b""
    return b'{"chunk":[%b]%b}' % (b",".join(page.chunk), members)


def _is_backwards(req: UserRequest) -> bool:
    direction = req.query.get("dir") or "b"
    if direction not in {"b", "f"}:
        raise InvalidParam("dir must be b or f")
    return direction == "b"
