"""Reading a room's state and members at the HTTP edge (CS "Rooms")."""

from tremula.features.room_state.service import MemberSelection, RoomState
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import RoomId

_MEMBERSHIPS = frozenset({"join", "invite", "knock", "leave", "ban"})


@endpoint("GET", "/_matrix/client/v3/rooms/{room_id}/state", auth=Auth.USER, guest=True)
async def get_room_state(req: UserRequest, state: RoomState) -> Json:
    """CS getRoomState. Errors: M_FORBIDDEN."""
    events = await state.whole(req.requester, RoomId(req.path["room_id"]))
    return b"[%b]" % b",".join(events)


@endpoint(
    "GET",
    "/_matrix/client/v3/rooms/{room_id}/state/{event_type}/{state_key}",
    auth=Auth.USER,
    guest=True,
)
@endpoint(
    "GET",
    "/_matrix/client/v3/rooms/{room_id}/state/{event_type}",
    auth=Auth.USER,
    guest=True,
)
async def get_room_state_with_key(req: UserRequest, state: RoomState) -> Json:
    """CS getRoomStateWithKey. Errors: M_FORBIDDEN, M_NOT_FOUND, M_INVALID_PARAM."""
    answer_format = req.query.get("format") or "content"
    if answer_format not in {"content", "event"}:
        raise InvalidParam("format must be content or event")
    event, access = await state.find(
        req.requester,
        RoomId(req.path["room_id"]),
        (req.path["event_type"], req.path.get("state_key", "")),
    )
    if answer_format == "content":
        return await state.content(req.requester, access, event)
    return await state.shown(req.requester, access, event)


@endpoint(
    "GET", "/_matrix/client/v3/rooms/{room_id}/members", auth=Auth.USER, guest=True
)
async def get_members_by_room(req: UserRequest, state: RoomState) -> Json:
    """CS getMembersByRoom. Errors: M_FORBIDDEN, M_INVALID_PARAM."""
    events = await state.members(
        req.requester,
        RoomId(req.path["room_id"]),
        MemberSelection(
            membership=_membership(req, "membership"),
            not_membership=_membership(req, "not_membership"),
        ),
        at=req.query.get("at") or None,
    )
    return b'{"chunk":[%b]}' % b",".join(events)


def _membership(req: UserRequest, name: str) -> str | None:
    value = req.query.get(name)
    if value is not None and value not in _MEMBERSHIPS:
        raise InvalidParam(f"{name} must be one of {', '.join(sorted(_MEMBERSHIPS))}")
    return value


@endpoint("GET", "/_matrix/client/v3/rooms/{room_id}/joined_members", auth=Auth.USER)
async def get_joined_members_by_room(req: UserRequest, state: RoomState) -> Json:
    """CS getJoinedMembersByRoom. Errors: M_FORBIDDEN."""
    return {"joined": await state.joined(req.user_id, RoomId(req.path["room_id"]))}
