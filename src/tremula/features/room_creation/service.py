"""Makes rooms."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog
from msgspec import Struct, field

from tremula.features.directory.service import Directory
from tremula.features.membership.service import Membership
from tremula.features.room_creation.plan import (
    InitialState,
    Member,
    Preset,
    RoomPlan,
    plan_events,
)
from tremula.infra.db import Conflict
from tremula.infra.journal import JournalUnit
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.errors import (
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
    ServerName,
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
    """What CS createRoom was asked for; None is what the client left out."""

    is_public: bool = False
    preset: Preset | None = None
    version_id: str | None = None
    alias_localpart: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: Sequence[str] = ()
    invite_emails: Sequence[EmailAddress] = ()
    is_direct: bool = False
    creation_content: Mapping[str, Any] = field(default_factory=dict)
    initial_state: Sequence[InitialState] = ()
    power_levels_override: Mapping[str, Any] = field(default_factory=dict)


class EmailInviter(Protocol):
    """Invites e-mail addresses; the third_party feature does."""

    def check_possible(self) -> None:
        """Refuse addresses where there is no mail.

        Raises:
            ThreepidMediumNotSupported: there is none.
        """
        ...

    async def invite(
        self, sender: UserId, room_id: RoomId, address: EmailAddress
    ) -> None:
        """Invite whoever has *address*.

        Raises:
            MatrixError: it can't be done.
        """
        ...


class RoomCreation(Struct, frozen=True):
    """Turns what a user asks for into a room: all of it or nothing."""

    rooms: Rooms
    directory: Directory
    membership: Membership
    by_email: EmailInviter
    server_name: ServerName
    default_version_id: str

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
        """
        if request.invite_emails:
            self.by_email.check_possible()
        version = get_room_version(request.version_id or self.default_version_id)
        check_creation_content(version, request.creation_content)
        alias = await self._free_alias(creator, request.alias_localpart)
        plan = RoomPlan(
            creator=await self._member(creator),
            version=version,
            preset=request.preset or default_preset(is_public=request.is_public),
            invitees=await self._invitees(request.invite),
            is_direct=request.is_direct,
            creation_content=request.creation_content,
            power_levels_override=request.power_levels_override,
            initial_state=request.initial_state,
            alias=alias,
            name=request.name,
            topic=request.topic,
        )

        def list_room(unit: JournalUnit, view: RoomView) -> None:
            if alias is not None:
                self.directory.claim(unit, alias, view, creator=creator)
            if request.is_public:
                self.directory.published.publish(unit, view)

        drafts = plan_events(plan)
        invitations = [draft for draft in drafts if self._needs_asking(draft)]
        drafts = [draft for draft in drafts if draft not in invitations]
        try:
            room_id = await self.rooms.create(version, drafts, also=list_room)
        except Conflict as error:
            raise RoomInUse(f"Room alias {alias} is taken") from error
        except Forbidden as error:
            raise InvalidRoomState(error.message) from error
        async with asyncio.TaskGroup() as group:
            for draft in invitations:
                group.create_task(self._invite(room_id, draft))
        for address in request.invite_emails:
            await self._invite_email(creator, room_id, address)
        return room_id

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

    async def _invite_email(
        self, creator: UserId, room_id: RoomId, address: EmailAddress
    ) -> None:
        try:
            await self.by_email.invite(creator, room_id, address)
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
        alias = parse_room_alias(f"#{localpart}:{self.server_name}")
        self.directory.claims.check_creator(creator, alias)
        if await self.directory.is_taken(alias):
            raise RoomInUse(f"Room alias {alias} is taken")
        return alias

    async def _invitees(self, invite: Sequence[str]) -> list[Member]:
        user_ids = dict.fromkeys(parse_user_id(raw) for raw in invite)
        for user_id in user_ids:
            await self.membership.admission.check_invitee(user_id)
        return [await self._member(user_id) for user_id in user_ids]

    async def _member(self, user_id: UserId) -> Member:
        return Member(user_id, await self.membership.fields_of(user_id))


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
