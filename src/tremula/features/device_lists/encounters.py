"""With whom a user has begun to share a room, or ceased to."""

from collections.abc import Mapping

from msgspec import Struct

from tremula.infra.journal import Journal
from tremula.protocol.identifiers import UserId
from tremula.rooms.member_changes import MemberChanges, MembersThen
from tremula.rooms.memberships import Memberships
from tremula.rooms.reader import RoomReader
from tremula.rooms.sharing import SharedRooms
from tremula.rooms.staging import MEMBERS_TOPIC
from tremula.rooms.storage import UserRoom


class Encounters(Struct, frozen=True):
    """Those ``met`` share a room with the user; those ``parted`` did and do not."""

    met: set[UserId]
    parted: set[UserId]


class Company(Struct, frozen=True):
    """Follows who is in a room with our users. Costs what changed in their rooms."""

    journal: Journal
    memberships: Memberships
    reader: RoomReader
    shared: SharedRooms
    changes: MemberChanges

    async def encounters(self, user_id: UserId, since: int) -> Encounters:
        """Whom *user_id* has met or parted with after the journal position *since*.

        Who was met but shared another room all along is left out if that room is in
        memory. CS "Extensions to /sync": they "may" be told of as well.
        """
        met: set[UserId] = set()
        parted: set[UserId] = set()
        then_by_room: dict[int, MembersThen] = {}
        for room in await self._rooms_with_changes(user_id, since):
            view = await self.reader.find_room(room.room_id)
            if view is None:
                continue
            then = then_by_room[view.nid] = await self.changes.since(view, since)
            was_there = then.had(user_id)
            if view.is_joined(user_id):
                # While none of our users was there, we were told of nobody's devices;
                # before it was completed, we did not know who was.
                stayed = was_there and max(room.began_pos, view.completed_pos) <= since
                met |= then.come() if stayed else view.joined_members()
            if was_there:
                is_there = view.is_joined(user_id)
                parted |= then.gone() if is_there else then.all()
        met.discard(user_id)
        parted.discard(user_id)
        if met:
            met -= await self._shared_all_along(user_id, met, then_by_room, since)
        if parted:
            parted -= await self.shared.sharing_with(user_id, parted)
        return Encounters(met, parted)

    async def _rooms_with_changes(self, user_id: UserId, since: int) -> list[UserRoom]:
        """The rooms that the user is in, or has left since, whose members changed."""
        changed = self.journal.changed_keys(MEMBERS_TOPIC, since)
        if changed is not None and not changed:
            return []
        rooms = {
            room.room_nid: room
            for room in (await self.memberships.of_user(user_id)).values()
            if room.membership == "join" or room.event_nid > since
        }
        if changed is None:
            newest = await self.reader.newest_nids(rooms)
            changed = {nid for nid, pos in newest.items() if pos > since}
        return [room for nid, room in rooms.items() if nid in changed]

    async def _shared_all_along(
        self,
        user_id: UserId,
        others: set[UserId],
        changed: Mapping[int, MembersThen],
        since: int,
    ) -> set[UserId]:
        found: set[UserId] = set()
        for nid, room_id in (await self.memberships.joined_by(user_id)).items():
            view = self.reader.find_loaded(room_id)
            if view is None:
                continue
            then = changed.get(nid)
            if then is None:
                found |= others & view.joined_members()
            elif user_id not in then.changed and view.completed_pos <= since:
                found |= then.stayed_among(others)
        return found
