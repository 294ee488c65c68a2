"""Makes rooms."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog
from msgspec import Struct, field

from tremula.features.directory.service import Directory
from tremula.features.membership.service import Membership
from tremula.features.room_creation.bridged import (
    ROOM_VERSION_ID,
    BridgeExtras,
    OwnUsers,
    without_creator,
)
from tremula.features.room_creation.plan import (
    InitialState,
    Member,
    Preset,
    RoomPlan,
    plan_events,
)
from tremula.infra.db import Conflict
from tremula.infra.journal import JournalUnit
from tremula.protocol.email_addresses import InvitedAddress
from tremula.protocol.errors import (
    AuthRuleViolation,
    BadJson,
    Forbidden,
    InvalidParam,
    InvalidRoomState,
    MatrixError,
    RoomInUse,
)
from tremula.protocol.identifiers import (
    RoomAlias,
    RoomId,
    UserId,
    parse_room_alias,
    parse_user_id,
)
from tremula.protocol.room_versions import RoomVersion, get_room_version
from tremula.rooms.events import Draft
from tremula.rooms.rooms import Rooms
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView

log = structlog.get_logger(__name__)


class RoomRequest(Struct, frozen=True, kw_only=True):
    """What CS createRoom was asked for; None is what the client left out.

    ``extras`` are there if a bridge asks for more.
    """

    is_public: bool = False
    preset: Preset | None = None
    version_id: str | None = None
    alias_localpart: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: Sequence[str] = ()
    invite_addresses: Sequence[InvitedAddress] = ()
    is_direct: bool = False
    creation_content: Mapping[str, Any] = field(default_factory=dict)
    initial_state: Sequence[InitialState] = ()
    power_levels_override: Mapping[str, Any] = field(default_factory=dict)
    extras: BridgeExtras | None = None


class AddressInviter(Protocol):
    """Invites e-mail addresses; the third_party feature does."""

    def check_possible(self, invited: InvitedAddress) -> None:
        """Refuse an address that there is no way to.

        Raises:
            ThreepidMediumNotSupported: there is no mail.
            MissingParam: there is no token for the identity server.
        """
        ...

    async def invite(
        self, sender: UserId, room_id: RoomId, invited: InvitedAddress
    ) -> None:
        """Invite whoever has the address.

        Raises:
            MatrixError: it can't be done.
        """
        ...


class RoomCreation(Struct, frozen=True):
    """Turns what a user asks for into a room: all of it or nothing.

    Unless the server ``federates``, its new rooms never do, later neither, if that is
    not asked for.
    """

    rooms: Rooms
    directory: Directory
    membership: Membership
    addresses: AddressInviter
    own_users: OwnUsers
    default_version_id: str
    federates: bool = True

    async def create(self, creator: UserId, request: RoomRequest) -> RoomId:
        """Make a room, with its alias and its place in the directory.

        One transaction, whatever the room holds.

        Raises:
            UnsupportedRoomVersion: this server does not know the version.
            RoomInUse: the alias is taken.
            Exclusive: the alias is kept for an application service.
            InvalidParam, BadJson: something is not what the specification says.
            InvalidRoomState: the rules refuse one of the room's events.
            InviteBlocked: one of the invited takes no invitations.
            ThreepidMediumNotSupported: nobody can be invited by mail here.
            MissingParam: there is no token for an identity server.
        """
        for invited in request.invite_addresses:
            self.addresses.check_possible(invited)
        plan = await self._plan(creator, request)
        alias, extras = plan.alias, request.extras

        def list_room(unit: JournalUnit, view: RoomView) -> None:
            if alias is not None:
                self.directory.claim(unit, alias, view, creator=creator)
            if request.is_public:
                self.directory.published.publish(unit, view)

        drafts = plan_events(plan)
        invitations = [draft for draft in drafts if self._needs_asking(draft)]
        drafts = [draft for draft in drafts if draft not in invitations]
        try:
            room_id = await self.rooms.create(
                plan.version,
                drafts,
                room_id=extras.room_id if extras else None,
                also=list_room,
            )
        except Conflict as error:
            raise RoomInUse("The room's alias, or its ID, is taken") from error
        except (BadJson, Forbidden) as error:
            if not isinstance(error.__cause__, AuthRuleViolation):
                raise
            raise InvalidRoomState(error.message) from error
        async with asyncio.TaskGroup() as group:
            for draft in invitations:
                group.create_task(self._invite(room_id, draft))
        for invited in request.invite_addresses:
            await self._invite_address(creator, room_id, invited)
        return room_id

    async def _plan(self, creator: UserId, request: RoomRequest) -> RoomPlan:
        extras = request.extras
        default_id = ROOM_VERSION_ID if extras else self.default_version_id
        version = get_room_version(request.version_id or default_id)
        content = dict(request.creation_content)
        if extras or not self.federates:
            content.setdefault("m.federate", False)
        check_creation_content(version, content)
        if extras is not None and extras.room_id is not None:
            _check_chosen_id(version, content)
        override = request.power_levels_override
        if extras is not None and version.privileged_creators:
            override = without_creator(override, creator)
        joined, invited = self._newcomers(creator, request)
        return RoomPlan(
            creator=await self._member(creator),
            version=version,
            preset=request.preset or default_preset(is_public=request.is_public),
            invitees=await self._invitees(invited),
            joined=[
                Member(user_id, await self.membership.member_fields(user_id))
                for user_id in joined
            ],
            is_direct=request.is_direct,
            creation_content=content,
            power_levels_override=override,
            initial_state=request.initial_state,
            alias=await self._free_alias(creator, request.alias_localpart),
            name=request.name,
            topic=request.topic,
            ts_ms=extras.ts_ms if extras else None,
        )

    def _newcomers(
        self, creator: UserId, request: RoomRequest
    ) -> tuple[list[UserId], list[UserId]]:
        """Who is joined from the beginning, and who is invited."""
        extras = request.extras
        invited = dict.fromkeys(parse_user_id(raw) for raw in request.invite)
        if extras is None:
            return [], list(invited)
        members = dict.fromkeys(parse_user_id(raw) for raw in extras.members)
        if extras.joins_invited:
            members |= invited
        members.pop(creator, None)
        joined = [each for each in members if self.own_users.includes(extras, each)]
        others = (invited | members).keys() - {*joined, creator}
        return joined, [each for each in invited | members if each in others]

    def _needs_asking(self, draft: Draft) -> bool:
        """Whether it is an invitation that another server has to sign."""
        return (
            draft.type == MEMBER
            and draft.content["membership"] == "invite"
            and not self.membership.remote.is_local(UserId(draft.state_key or ""))
        )

    async def _invite(self, room_id: RoomId, draft: Draft) -> None:
        view = await self.membership.reader.get_room(room_id)
        try:
            await self.membership.remote.invite(view, draft)
        except MatrixError as error:
            # The room is there already, and the creator can invite again.
            log.info("not_invited", user_id=draft.state_key, reason=error.message)

    async def _invite_address(
        self, creator: UserId, room_id: RoomId, invited: InvitedAddress
    ) -> None:
        try:
            await self.addresses.invite(creator, room_id, invited)
        except MatrixError as error:
            # As above.
            log.info("address_not_invited", reason=error.message)

    async def _free_alias(
        self, creator: UserId, localpart: str | None
    ) -> RoomAlias | None:
        if localpart is None:
            return None
        if ":" in localpart or not localpart:
            raise InvalidParam("room_alias_name must be a local part")
        alias = parse_room_alias(f"#{localpart}:{self.own_users.server_name}")
        self.directory.claims.check_creator(creator, alias)
        if await self.directory.is_taken(alias):
            raise RoomInUse(f"Room alias {alias} is taken")
        return alias

    async def _invitees(self, user_ids: Sequence[UserId]) -> list[Member]:
        for user_id in user_ids:
            await self.membership.admission.check_invitee(user_id)
        return [await self._member(user_id) for user_id in user_ids]

    async def _member(self, user_id: UserId) -> Member:
        return Member(user_id, await self.membership.fields_of(user_id))


def _check_chosen_id(version: RoomVersion, content: Mapping[str, Any]) -> None:
    if version.room_id_is_create_hash:
        raise InvalidParam("in this room version, no room ID can be chosen")
    if content["m.federate"] is not False:
        raise InvalidParam("of a room that may federate, the ID can't be chosen")


def default_preset(*, is_public: bool) -> Preset:
    """The preset of a room whose creator named none."""
    return Preset.PUBLIC_CHAT if is_public else Preset.PRIVATE_CHAT


def check_creation_content(version: RoomVersion, content: Mapping[str, Any]) -> None:
    """Refuse what would make a room that nobody understands.

    Raises:
        BadJson: a key of the wrong type.
        InvalidParam: an additional creator who is no user.
    """
    if not isinstance(content.get("m.federate", True), bool):
        raise BadJson("creation_content: m.federate must be a boolean")
    if not isinstance(content.get("type", ""), str):
        raise BadJson("creation_content: type must be a string")
    if not isinstance(content.get("predecessor", {}), dict):
        raise BadJson("creation_content: predecessor must be an object")
    if version.privileged_creators:
        creators = content.get("additional_creators", [])
        if not isinstance(creators, list):
            raise BadJson("creation_content: additional_creators must be a list")
        for creator in creators:
            parse_user_id(creator)
