"""The key ``rooms`` of `/sync`, and the context that every part reads."""

from collections.abc import Mapping

from msgspec import Struct

from tremula.features.sync.invited_rooms import InvitedRooms
from tremula.features.sync.joined import JoinedRooms
from tremula.features.sync.lazy_members import TOPIC as LAZY_MEMBERS_TOPIC
from tremula.features.sync.lazy_members import LazyMembers
from tremula.features.sync.left_rooms import LeftRooms
from tremula.features.sync.parts import IgnoredUsers, SyncContext
from tremula.features.sync.request import StateForm, SyncRequest
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import RoomId
from tremula.rooms.memberships import TOPIC as MEMBERSHIP_TOPIC
from tremula.rooms.memberships import Memberships
from tremula.rooms.partial import COMPLETED_TOPIC

# {"join": {room id: entry}, "invite": …}
Sections = Mapping[str, Mapping[RoomId, bytes]]


class RoomsSection(Struct, frozen=True):
    """Builds all sections of rooms."""

    journal: Journal
    memberships: Memberships
    account_data: IgnoredUsers
    joined: JoinedRooms
    invited: InvitedRooms
    left: LeftRooms
    lazy_members: LazyMembers

    @property
    def topics(self) -> frozenset[str]:
        """While these are silent, there is no news but events."""
        own = frozenset(
            (
                MEMBERSHIP_TOPIC,
                COMPLETED_TOPIC,
                LAZY_MEMBERS_TOPIC,
                self.account_data.topic,
            )
        )
        return own.union(self.joined.parts.topics, self.joined.unread.topics)

    async def context(self, request: SyncRequest) -> SyncContext:
        """What an answer to *request* reaches up to, were it built now."""
        user_id = request.user_id
        if request.since is None and request.filter.room.state.lazy_load_members:
            await self.lazy_members.begin(user_id, request.device_id)
        ignored = await self.account_data.ignored_users(user_id)
        joined = await self.memberships.joined_by(user_id)
        since = request.since.pos if request.since else 0
        # Everything below shows what is committed up to here, and no later news.
        return SyncContext(
            user_id=user_id,
            device_id=request.device_id,
            now=self.journal.position,
            joined_rooms=joined,
            ignored_users=ignored,
            filter=request.filter,
            full_state=request.full_state,
            heard=self.journal.heard(since) if since else None,
        )

    async def build(
        self, ctx: SyncContext, since: int, *, state_form: StateForm
    ) -> Sections:
        """The sections by name, each with its rooms' entries by room id."""
        sections: dict[str, dict[RoomId, bytes]] = {}
        user_id = ctx.user_id
        has_changed = not since or (
            ctx.only_events_in is None
            and ctx.may_have(MEMBERSHIP_TOPIC)
            and self.memberships.changed_pos(user_id) > since
        )
        if has_changed or ctx.filter.room.include_leave:
            user_rooms = list((await self.memberships.of_user(user_id)).values())
            sections = await self.invited.sections(ctx, user_rooms, since)
            sections["leave"] = await self.left.entries(
                ctx, user_rooms, since, state_form=state_form
            )
        sections["join"] = await self.joined.entries(
            ctx, since, state_form=state_form, stayed=not has_changed
        )
        return sections
