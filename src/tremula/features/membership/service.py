"""Changes of membership, as clients ask for them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tremula.features.directory.service import Directory
from tremula.features.membership.guest_eviction import admits_guests
from tremula.features.membership.invite_permission import InvitePermission
from tremula.features.membership.joins import authorising_user, third_party_invite
from tremula.protocol.errors import (
    BadJson,
    BadState,
    Forbidden,
    GuestAccessForbidden,
    NotFound,
    Unknown,
)
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    UserId,
    parse_room_alias,
    parse_user_id,
)
from tremula.rooms.events import Draft
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView

AUTHORISED_VIA = "join_authorised_via_users_server"
KICKABLE = frozenset({"join", "invite", "knock"})

MemberFields = Callable[[UserId], Awaitable[Mapping[str, Any]]]
"""The profile fields of a local user that their member events show."""


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A user's wish to join; *is_guest* as the room may refuse guests."""

    user_id: UserId
    is_guest: bool = False
    reason: str | None = None
    third_party_signed: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """Joins, invites, removes and bans users; whatever the auth rules allow."""

    rooms: Rooms
    reader: RoomReader
    memberships: Memberships
    directory: Directory
    invite_permission: InvitePermission
    member_fields: MemberFields
    server_name: ServerName

    async def resolve(self, room_id_or_alias: str) -> RoomId:
        """The room that a path part of ``/join`` or ``/knock`` means.

        Raises:
            InvalidParam: an alias that is none.
            NotFound: no such alias.
        """
        if not room_id_or_alias.startswith("#"):
            return RoomId(room_id_or_alias)
        alias = parse_room_alias(room_id_or_alias)
        return (await self.directory.resolve(alias)).room_id

    async def joined_rooms(self, user_id: UserId) -> list[RoomId]:
        """The rooms that *user_id* is joined to."""
        rooms = await self.memberships.of_user(user_id)
        return [room.room_id for room in rooms.values() if room.membership == "join"]

    async def join(self, request: JoinRequest, room_id: RoomId) -> RoomId:
        """Join a room; nothing happens if the user is joined.

        Raises:
            NotFound: this server knows no such room.
            GuestAccessForbidden: a guest, in a room that admits none.
            Forbidden: the room's rules do not let the user in.
        """
        view = await self._get_room(room_id)
        user_id = request.user_id
        if view.is_joined(user_id):
            return view.room_id
        if request.is_guest:
            _check_guest_access(view)
        content: dict[str, Any] = {
            "membership": "join",
            **await self.member_fields(user_id),
            **await self._authorisation(view, user_id),
        }
        drafts = []
        if request.third_party_signed is not None:
            drafts.append(third_party_invite(view, user_id, request.third_party_signed))
        drafts.append(_member(user_id, user_id, content, reason=request.reason))
        await self.rooms.append(view.room_id, drafts)
        return view.room_id

    async def _authorisation(self, view: RoomView, user_id: UserId) -> dict[str, Any]:
        """What a join by a restricted rule needs in its content.

        Raises:
            Forbidden: the user is in none of the rooms that the rule names.
        """
        if not view.version.restricted or view.join_rule not in {
            "restricted",
            "knock_restricted",
        }:
            return {}
        if view.membership(user_id) in {"invite", "join", "ban"}:
            # Invited and joined users need no room; for banned ones none suffices.
            return {}
        if not await self._is_in_allowed_room(view, user_id):
            raise Forbidden(
                "You do not belong to any of the rooms whose members may join this one"
            )
        return {AUTHORISED_VIA: authorising_user(view, self.server_name)}

    async def _is_in_allowed_room(self, view: RoomView, user_id: UserId) -> bool:
        allowed = (view.content_of("m.room.join_rules") or {}).get("allow")
        conditions = allowed if isinstance(allowed, list) else []
        rooms = {
            condition.get("room_id")
            for condition in conditions
            if isinstance(condition, dict)
            and condition.get("type") == "m.room_membership"
        }
        mine = await self.memberships.of_user(user_id)
        return any(r.room_id in rooms and r.membership == "join" for r in mine.values())

    async def knock(
        self, user_id: UserId, room_id: RoomId, *, reason: str | None
    ) -> RoomId:
        """Ask to be let into a room.

        Raises:
            NotFound: this server knows no such room.
            Forbidden: the room does not take knocks, or not from this user.
        """
        view = await self._get_room(room_id)
        fields = await self.member_fields(user_id)
        content = {"membership": "knock", **fields}
        await self._send(view, _member(user_id, user_id, content, reason=reason))
        return view.room_id

    async def leave(
        self, user_id: UserId, room_id: RoomId, *, reason: str | None
    ) -> None:
        """Leave a room, decline its invitation or retract a knock.

        Raises:
            NotFound: this server knows no such room.
            Forbidden: the user is neither in nor invited.
        """
        view = await self._get_room(room_id)
        if view.membership(user_id) == "leave":
            return
        content = {"membership": "leave"}
        await self._send(view, _member(user_id, user_id, content, reason=reason))

    async def forget(self, user_id: UserId, room_id: RoomId) -> None:
        """Hide a room that *user_id* has left from them; safe to repeat.

        Raises:
            NotFound: the user never had to do with such a room.
            Unknown: (400) the user has not left it.
        """
        view = await self.reader.get_room(room_id)
        room = (await self.memberships.of_user(user_id)).get(view.nid)
        if room is None:
            raise NotFound("Unknown room.")
        if room.membership not in {"leave", "ban"}:
            raise Unknown(f"{user_id} has not left {room_id}", status=400)
        await self.memberships.forget(user_id, room)

    async def invite(
        self, sender: UserId, target: UserId, room_id: RoomId, *, reason: str | None
    ) -> None:
        """Invite *target*.

        Raises:
            Forbidden: *sender* may not invite here, or *target* is in or banned.
            InviteBlocked: *target* wants no invitations.
        """
        view = await self.reader.get_joined(room_id, sender)
        if view.is_joined(target):
            raise Forbidden(f"{target} is already in the room")
        await self.invite_permission.check(target)
        fields = await self.member_fields(target)
        content = {"membership": "invite", **fields}
        await self._send(view, _member(sender, target, content, reason=reason))

    async def kick(
        self, sender: UserId, target: UserId, room_id: RoomId, *, reason: str | None
    ) -> None:
        """Make *target* leave.

        Raises:
            Forbidden: *sender* may not kick them, or they are not in the room.
        """
        view = await self.reader.get_joined(room_id, sender)
        # The rules would take it for lifting the ban of a banned user.
        if view.membership(target) not in KICKABLE:
            raise Forbidden(f"{target} is not in the room")
        content = {"membership": "leave"}
        await self._send(view, _member(sender, target, content, reason=reason))

    async def ban(
        self, sender: UserId, target: UserId, room_id: RoomId, *, reason: str | None
    ) -> None:
        """Ban *target*, whether they are in the room or not.

        Raises:
            Forbidden: *sender* may not ban them.
        """
        view = await self.reader.get_joined(room_id, sender)
        content = {"membership": "ban"}
        await self._send(view, _member(sender, target, content, reason=reason))

    async def unban(
        self, sender: UserId, target: UserId, room_id: RoomId, *, reason: str | None
    ) -> None:
        """Lift the ban of *target*.

        Raises:
            Forbidden: *sender* may not lift it.
            BadState: *target* is not banned.
        """
        view = await self.reader.get_joined(room_id, sender)
        if view.membership(target) != "ban":
            raise BadState(f"{target} is not banned")
        content = {"membership": "leave"}
        await self._send(view, _member(sender, target, content, reason=reason))

    async def set_member(
        self,
        sender: UserId,
        state_key: str,
        content: Mapping[str, Any],
        room_id: RoomId,
        *,
        is_guest: bool,
    ) -> EventId:
        """Set an ``m.room.member`` state event, as its membership's endpoint would.

        Profile fields that *content* lacks are filled in.

        Raises:
            InvalidParam: *state_key* is no user id.
            BadJson: *content* has no membership.
            Forbidden: *sender* may not do this.
        """
        target = parse_user_id(state_key)
        view = await self._get_room(room_id)
        membership = content.get("membership")
        if not isinstance(membership, str):
            raise BadJson("content.membership must be a string")
        # Only the server may vouch for a user: what the client says does not count.
        given = {key: content[key] for key in content if key != AUTHORISED_VIA}
        if membership in {"join", "knock", "invite"}:
            given = {**await self.member_fields(target), **given}
        if membership == "join" and sender == target:
            if is_guest:
                _check_guest_access(view)
            given |= await self._authorisation(view, target)
        if membership == "invite":
            if view.is_joined(target):
                raise Forbidden(f"{target} is already in the room")
            await self.invite_permission.check(target)
        return await self._send(view, _member(sender, target, given))

    async def _get_room(self, room_id: RoomId) -> RoomView:
        view = await self.reader.find_room(room_id)
        if view is None:
            raise NotFound(
                f"This server knows no room {room_id}, and it does not federate yet"
            )
        return view

    async def _send(self, view: RoomView, draft: Draft) -> EventId:
        return (await self.rooms.append(view.room_id, [draft]))[0]


def _member(
    sender: UserId,
    target: UserId,
    content: dict[str, Any],
    *,
    reason: str | None = None,
) -> Draft:
    if reason is not None:
        content["reason"] = reason
    return Draft(type=MEMBER, sender=sender, content=content, state_key=target)


def _check_guest_access(view: RoomView) -> None:
    if not admits_guests(view):
        raise GuestAccessForbidden("Guests may not join this room")
