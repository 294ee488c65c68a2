"""Creating rooms at the HTTP edge (CS "Creation")."""

from typing import Annotated, Any, Literal

import msgspec

from tremula.features.room_creation.bridged import BridgeExtras
from tremula.features.room_creation.plan import InitialState, Preset
from tremula.features.room_creation.service import RoomCreation, RoomRequest
from tremula.infra.http import (
    EVENT_BODY_BYTES_MAX,
    Auth,
    Json,
    UserRequest,
    endpoint,
)
from tremula.protocol.canonical import INTEGER_MAX
from tremula.protocol.email_addresses import InvitedAddress, parse_email_address
from tremula.protocol.errors import InvalidParam, ThreepidDenied
from tremula.protocol.identifiers import RoomId, parse_room_id, server_of

INVITES_MAX = 500
INVITES_BY_EMAIL_MAX = 10
INITIAL_STATE_MAX = 500
BRIDGED_MEMBERS_MAX = 5_000


class InitialStateBody(msgspec.Struct):
    """An entry of ``initial_state``."""

    type: str
    content: dict[str, Any]
    state_key: str = ""


class Invite3pidBody(msgspec.Struct):
    """An entry of ``invite_3pid``."""

    medium: str
    address: str
    id_server: str | None = None
    id_access_token: str | None = None


def _bridged(name: str) -> Any:  # noqa: ANN401 - as msgspec declares a field
    return msgspec.field(name=name, default=None)


class CreateRoomBody(msgspec.Struct):
    """Body of CS ``createRoom``. Clients send null for what they leave out."""

    visibility: Literal["public", "private"] | None = None
    preset: Preset | None = None
    room_version: str | None = None
    room_alias_name: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: list[str] | None = None
    invite_3pid: list[Invite3pidBody] | None = None
    is_direct: bool | None = None
    creation_content: dict[str, Any] | None = None
    initial_state: list[InitialStateBody] | None = None
    power_level_content_override: dict[str, Any] | None = None
    auto_join_invites: bool | None = _bridged("com.beeper.auto_join_invites")
    initial_members: list[str] | None = _bridged("com.beeper.initial_members")
    local_room_id: str | None = _bridged("com.beeper.local_room_id")
    bridge_name: str | None = _bridged("com.beeper.bridge_name")
    bridge_account_id: str | None = _bridged("com.beeper.bridge_account_id")
    room_id: str | None = _bridged("fi.mau.room_id")
    origin_server_ts: Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)] | None = (
        _bridged("fi.mau.origin_server_ts")
    )

    @property
    def is_bridged(self) -> bool:
        """Whether it has what only bridges ask for."""
        given = (
            self.auto_join_invites,
            self.initial_members,
            self.local_room_id,
            self.bridge_name,
            self.bridge_account_id,
            self.room_id,
            self.origin_server_ts,
        )
        return any(each is not None for each in given)


@endpoint(
    "POST",
    "/_matrix/client/v3/createRoom",
    auth=Auth.USER,
    limit="rooms",
    max_body=EVENT_BODY_BYTES_MAX,
)
async def create_room(req: UserRequest, room_creation: RoomCreation) -> Json:
    """CS createRoom.

    Errors: M_ROOM_IN_USE, M_INVALID_ROOM_STATE, M_UNSUPPORTED_ROOM_VERSION,
    M_INVALID_PARAM, M_BAD_JSON, M_INVITE_BLOCKED, M_THREEPID_DENIED.
    """
    request = room_request(req, req.body(CreateRoomBody))
    return {"room_id": await room_creation.create(req.user_id, request)}


def room_request(req: UserRequest, body: CreateRoomBody) -> RoomRequest:
    """What *body* asks for.

    Raises:
        InvalidParam, ThreepidDenied: something can't be meant like that.
    """
    invite, initial_state = body.invite or [], body.initial_state or []
    extras = _extras(req, body)
    invites_max = BRIDGED_MEMBERS_MAX if extras else INVITES_MAX
    if len(invite) > invites_max or len(initial_state) > INITIAL_STATE_MAX:
        raise InvalidParam("too many invitations or state events for one request")
    return RoomRequest(
        is_public=body.visibility == "public",
        preset=body.preset,
        version_id=body.room_version,
        alias_localpart=body.room_alias_name,
        name=body.name,
        topic=body.topic,
        invite=invite,
        invite_addresses=_addresses(body.invite_3pid or []),
        is_direct=bool(body.is_direct),
        creation_content=body.creation_content or {},
        initial_state=[
            InitialState(entry.type, entry.state_key, entry.content)
            for entry in initial_state
        ],
        power_levels_override=body.power_level_content_override or {},
        extras=extras,
    )


def _extras(req: UserRequest, body: CreateRoomBody) -> BridgeExtras | None:
    """What a bridge wants; of others it counts for nothing."""
    appservice_id = req.requester.appservice_id
    if appservice_id is None or not body.is_bridged:
        return None
    members = body.initial_members or []
    if len(members) > BRIDGED_MEMBERS_MAX:
        raise InvalidParam("too many members for one request")
    return BridgeExtras(
        appservice_id=appservice_id,
        members=tuple(members),
        joins_invited=bool(body.auto_join_invites),
        room_id=None if body.room_id is None else _own_room_id(req, body.room_id),
        ts_ms=body.origin_server_ts,
    )


def _own_room_id(req: UserRequest, raw: str) -> RoomId:
    room_id = parse_room_id(raw)
    if server_of(room_id) != server_of(req.user_id):
        raise InvalidParam("fi.mau.room_id must be a room ID of this server")
    return room_id


def _addresses(invited: list[Invite3pidBody]) -> list[InvitedAddress]:
    if len(invited) > INVITES_BY_EMAIL_MAX:
        raise InvalidParam("too many invitations by e-mail for one request")
    if any(each.medium != "email" for each in invited):
        raise ThreepidDenied("this server invites users and e-mail addresses only")
    return [
        InvitedAddress(
            parse_email_address(each.address), each.id_server, each.id_access_token
        )
        for each in invited
    ]
