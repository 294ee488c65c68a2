"""The key ``rooms`` of `/sync`, and the context that every part reads."""

from collections.abc import Mapping
from dataclasses import dataclass

from tremula.features.sync.joined import JoinedRooms
from tremula.features.sync.other_rooms import OtherRooms
from tremula.features.sync.parts import IgnoredUsers, SyncContext
from tremula.features.sync.request import StateForm, SyncRequest
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import RoomId
from tremula.rooms.memberships import Memberships

# {"join": {room id: entry}, "invite": …}
Sections = Mapping[str, Mapping[RoomId, bytes]]


@dataclass(frozen=True, slots=True)
class RoomsSection:
    """Builds all sections of rooms."""

    journal: Journal
    memberships: Memberships
    account_data: IgnoredUsers
    joined: JoinedRooms
    others: OtherRooms

    async def context(self, request: SyncRequest) -> SyncContext:
        """What an answer to *request* reaches up to, were it built now."""
        user_id = request.user_id
        ignored = await self.account_data.ignored_users(user_id)
        joined = await self.memberships.joined_by(user_id)
        # Everything below shows what is committed up to here, and no later news.
        return SyncContext(
            user_id=user_id,
            device_id=request.device_id,
            now=self.journal.position,
            joined_rooms=joined,
            ignored_users=ignored,
            filter=request.filter,
            full_state=request.full_state,
        )

    async def build(
        self, ctx: SyncContext, since: int, *, state_form: StateForm
    ) -> Sections:
        """The sections by name, each with its rooms' entries by room id."""
        sections: dict[str, dict[RoomId, bytes]] = {}
        if not since or self.memberships.changed_pos(ctx.user_id) > since:
            rooms = await self.memberships.of_user(ctx.user_id)
            sections = await self.others.sections(
                ctx, list(rooms.values()), since, state_form=state_form
            )
        joined = await self.joined.entries(ctx, since, state_form=state_form)
        return {**sections, "join": joined}
