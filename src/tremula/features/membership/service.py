"""Changes of membership, as clients ask for them."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tremula.features.directory.service import Directory
from tremula.features.federation_handshakes.service import RemoteMemberships
from tremula.features.membership.admission import Admission
from tremula.features.membership.guest_eviction import admits_guests
from tremula.features.membership.joins import third_party_invite
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import (
    BadJson,
    Forbidden,
    GuestAccessForbidden,
    NotFound,
    UnableToAuthoriseJoin,
    Unknown,
)
from tremula.protocol.identifiers import (
    EventId,
    RoomId,
    UserId,
    parse_room_alias,
    parse_user_id,
)
from tremula.rooms.authorising import (
    allowed_rooms,
    find_authorising_user,
    has_restricted_joins,
    vouched_for,
)
from tremula.rooms.events import NOTHING_CHOSEN, Chosen, Draft
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader
from tremula.rooms.rooms import Rooms
from tremula.rooms.state import MEMBER
from tremula.rooms.view import RoomView

T = TypeVar("T")

AUTHORISED_VIA = "join_authorised_via_users_server"

MemberFields = Callable[[UserId], Awaitable[Mapping[str, Any]]]
"""The profile fields of a local user that their member events show."""


class JoinRequest(Struct, frozen=True):
    """A user's wish to join; *is_guest* as the room may refuse guests."""

    user_id: UserId
    is_guest: bool = False
    reason: str | None = None
    third_party_signed: Mapping[str, Any] | None = None


class MemberChange(Struct, frozen=True, kw_only=True):
    """An ``m.room.member`` event that *sender* wants to send.

    The room's rules are not asked if it ``is_forced``.
    """

    sender: UserId
    state_key: str
    content: Mapping[str, Any]
    is_guest: bool = False
    is_forced: bool = False
    chosen: Chosen = NOTHING_CHOSEN


class Target(Struct, frozen=True):
    """A room to be joined, and servers that may be in it."""

    room_id: RoomId
    via: tuple[str, ...] = ()


class Membership(Struct, frozen=True):
    """Joins and invites users, and has them leave; whatever the auth rules allow."""

    rooms: Rooms
    reader: RoomReader
    memberships: Memberships
    directory: Directory
    admission: Admission
    member_fields: MemberFields
    remote: RemoteMemberships

    async def resolve(self, room_id_or_alias: str, via: Sequence[str] = ()) -> Target:
        """The room that a path part of ``/join`` or ``/knock`` means, and servers that
        may be in it: *via*, or as the directory says.

        Raises:
            InvalidParam: an alias that is none.
            NotFound: no such alias.
            Forbidden, Unknown: its server can't be asked, or does not answer.
        """
        if not room_id_or_alias.startswith("#"):
            return Target(RoomId(room_id_or_alias), tuple(via))
        found = await self.directory.resolve(parse_room_alias(room_id_or_alias))
        return Target(found.room_id, (*via, *found.servers))

    async def joined_rooms(self, user_id: UserId) -> list[RoomId]:
        """The rooms that *user_id* is joined to."""
        rooms = await self.memberships.of_user(user_id)
        return [room.room_id for room in rooms.values() if room.membership == "join"]

    async def join(self, request: JoinRequest, target: Target) -> RoomId:
        """Join a room; nothing happens if the user is joined.

        Raises:
            NotFound: nobody knows such a room.
            GuestAccessForbidden: a guest, in a room that admits none.
            Forbidden: the room's rules do not let the user in.
            UnableToAuthoriseJoin, UnableToGrantJoin: nobody can check whether they do.
            IncompatibleRoomVersion, UnsupportedRoomVersion: the room's version.
            Unknown: (502) no other server that is in the room helps.
        """
        await self.admission.check_room(target.room_id)
        view = await self.reader.find_room(target.room_id)
        if view is None or not self.remote.can_admit(view, request.user_id):
            if not await self._join_remotely(request, target):
                view = await self.reader.get_room(target.room_id)
                await self._join_locally(request, target, view)
        elif not view.is_joined(request.user_id):
            await self._join_locally(request, target, view)
        return target.room_id

    async def _join_locally(
        self, request: JoinRequest, target: Target, view: RoomView
    ) -> None:
        user_id = request.user_id
        if request.is_guest:
            _check_guest_access(view)
        own = await self._own_content(user_id, "join", request.reason)
        drafts = []
        if request.third_party_signed is not None:
            drafts.append(third_party_invite(view, user_id, request.third_party_signed))

        async def join(authorisation: Mapping[str, Any]) -> None:
            member = _member(user_id, user_id, {**own, **authorisation})
            await self.rooms.append(view.room_id, [*drafts, member])

        try:
            await self._authorised(view, user_id, join)
        except UnableToAuthoriseJoin:
            # Users of other servers may be able to.
            if len(view.joined_servers) == 1:
                raise
            await self._join_remotely(request, target)

    async def _join_remotely(self, request: JoinRequest, target: Target) -> bool:
        """Join through other servers; False if there is no need of them any more."""
        if request.is_guest:
            raise GuestAccessForbidden("Guests may not join rooms of other servers")
        if request.third_party_signed is not None:
            raise Forbidden(
                "this server can't exchange third-party invitations of others yet"
            )
        content = await self._own_content(request.user_id, "join", request.reason)
        return await self.remote.join(
            request.user_id, target.room_id, content, target.via
        )

    async def _authorised(
        self,
        view: RoomView,
        user_id: UserId,
        join: Callable[[Mapping[str, Any]], Awaitable[T]],
    ) -> T:
        """What *join* makes of what a join by a restricted rule needs in its content.

        Raises:
            Forbidden: the user is in none of the rooms that the rule names.
            UnableToAuthoriseJoin: no user of this server may invite.
        """
        return await vouched_for(
            lambda refused: self._find_authorising(view, user_id, refused),
            lambda via: join({} if via is None else {AUTHORISED_VIA: via}),
        )

    async def _find_authorising(
        self, view: RoomView, user_id: UserId, refused: Collection[UserId]
    ) -> UserId | None:
        if not has_restricted_joins(view):
            return None
        if view.membership(user_id) in {"invite", "join", "ban"}:
            # Invited and joined users need no room; for banned ones none suffices.
            return None
        rooms = set(allowed_rooms(view))
        mine = await self.memberships.of_user(user_id)
        if not any(
            r.room_id in rooms and r.membership == "join" for r in mine.values()
        ):
            raise Forbidden(
                "You do not belong to any of the rooms whose members may join this one"
            )
        authorising = find_authorising_user(view, self.remote.own, but=refused)
        if authorising is None:
            raise UnableToAuthoriseJoin(
                "No user of this server may invite you to this room"
            )
        return authorising

    async def knock(
        self, user_id: UserId, target: Target, *, reason: str | None
    ) -> RoomId:
        """Ask to be let into a room.

        Raises:
            NotFound: nobody knows such a room.
            Forbidden: the room does not take knocks, or not from this user.
            IncompatibleRoomVersion, UnsupportedRoomVersion: the room's version.
            Unknown: (502) no other server that is in the room helps.
        """
        await self.admission.check_room(target.room_id)
        content = await self._own_content(user_id, "knock", reason)
        view = await self.reader.find_room(target.room_id)
        if view is None or not self.remote.is_resident(view):
            await self.remote.knock(user_id, target.room_id, content, target.via)
        else:
            await self._send(view, _member(user_id, user_id, content))
        return target.room_id

    async def leave(
        self, user_id: UserId, room_id: RoomId, *, reason: str | None
    ) -> None:
        """Leave a room, decline its invitation or retract a knock.

        Raises:
            NotFound: this server knows no such room.
            Forbidden: the user is neither in nor invited.
        """
        content = {"membership": "leave"}
        if reason is not None:
            content["reason"] = reason
        if await self.remote.leave(user_id, room_id, content):
            return
        view = await self._get_room(room_id)
        if view.membership(user_id) == "leave":
            return
        await self.admission.check_leaving(view, user_id)
        await self._send(view, _member(user_id, user_id, content))

    async def _own_content(
        self, user_id: UserId, membership: str, reason: str | None
    ) -> dict[str, Any]:
        content = {"membership": membership, **await self.member_fields(user_id)}
        return content if reason is None else {**content, "reason": reason}

    async def forget(self, user_id: UserId, room_id: RoomId) -> None:
        """Hide a room that *user_id* has left from them; safe to repeat.

        Raises:
            NotFound: the user never had to do with such a room.
            Unknown: (400) the user has not left it.
        """
        # Whoever comes back at this moment has not forgotten it.
        await reread_on_conflict(lambda: self._forget(user_id, room_id))

    async def _forget(self, user_id: UserId, room_id: RoomId) -> None:
        rooms = (await self.memberships.of_user(user_id)).values()
        room = next((room for room in rooms if room.room_id == room_id), None)
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
            Forbidden: *sender* may not invite here, or *target* is in or banned, or has
                closed their account.
            InviteBlocked: *target* wants no invitations.
            UnsupportedRoomVersion: *target*'s server can't be in such a room.
            Unknown: (502) *target*'s server does not answer.
        """
        view = await self.reader.get_joined(room_id, sender)
        content = {"membership": "invite", **await self.fields_of(target)}
        await self._invite(view, _member(sender, target, content, reason=reason))

    async def _invite(self, view: RoomView, draft: Draft) -> EventId:
        target = UserId(draft.state_key or "")
        await self.admission.check_room(view.room_id)
        if not view.knows(target):
            view = await self.reader.whole_room(view.room_id)
        if view.is_joined(target):
            raise Forbidden(f"{target} is already in the room")
        if not self.remote.is_local(target):
            return await self.remote.invite(view, draft)
        await self.admission.check_invitee(target)
        return await self._send(view, draft)

    async def fields_of(self, user_id: UserId) -> Mapping[str, Any]:
        """The profile fields that an invitation of *user_id* shows.

        What users of other servers are called, their servers know. Who is an
        application service's and not here yet, is made by it now.
        """
        if not self.remote.is_local(user_id):
            return {}
        await self.admission.introduce(user_id)
        return await self.member_fields(user_id)

    async def set_member(self, room_id: RoomId, change: MemberChange) -> EventId:
        """Set an ``m.room.member`` state event, as its membership's endpoint would.

        Profile fields that its content lacks are filled in.

        Raises:
            InvalidParam: the state key is no user id.
            BadJson: the content has no membership.
            Forbidden: the sender may not do this.
        """
        sender, content = change.sender, change.content
        target = parse_user_id(change.state_key)
        view = await self._get_room(room_id)
        membership = content.get("membership")
        if not isinstance(membership, str):
            raise BadJson("content.membership must be a string")
        # Only the server may vouch for a user: what the client says does not count.
        given = {key: content[key] for key in content if key != AUTHORISED_VIA}

        async def send(whole: dict[str, Any]) -> EventId:
            draft = change.chosen.of(_member(sender, target, whole))
            return await self._send(view, replace(draft, is_forced=change.is_forced))

        if membership in {"join", "knock"}:
            await self.admission.check_room(room_id)
            given = {**await self.member_fields(target), **given}
        if membership == "join" and sender == target:
            if change.is_guest:
                _check_guest_access(view)
            return await self._authorised(
                view,
                target,
                lambda authorisation: send({**given, **authorisation}),
            )
        if membership == "leave" and sender == target:
            await self.admission.check_leaving(view, target)
        if membership == "invite":
            given = {**await self.fields_of(target), **given}
            draft = change.chosen.of(_member(sender, target, given))
            return await self._invite(view, draft)
        return await send(given)

    async def _get_room(self, room_id: RoomId) -> RoomView:
        view = await self.reader.find_room(room_id)
        if view is None:
            raise NotFound(f"This server is not in a room {room_id}")
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
