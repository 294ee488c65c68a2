"""Which rooms pass the filters of a list (MSC4186, ``SlidingRoomFilter``)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct, field

from tremula.features.sliding_sync.personal import PersonalLists
from tremula.features.sliding_sync.request import ListFilters
from tremula.features.sync.parts import SyncContext
from tremula.infra.cache import ByteLRU
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.outside import NO_POS, OutsideRooms
from tremula.rooms.overview import RoomFacts, RoomOverview
from tremula.rooms.reader import RoomReader
from tremula.rooms.storage import UserRoom

_CHILD: Final = "m.space.child"
_CACHE_BYTES: Final = 4 * 1024 * 1024
_ENTRY_BYTES: Final = 400

_Test = Callable[[int], bool]


class ListFiltering(Struct, frozen=True):
    """Goes through a user's rooms, without loading them."""

    overview: RoomOverview
    outside: OutsideRooms
    reader: RoomReader
    personal: PersonalLists
    cache: ByteLRU[tuple[UserId, int, int], RoomFacts] = field(
        default_factory=lambda: ByteLRU[tuple[UserId, int, int], RoomFacts](
            _CACHE_BYTES
        )
    )

    async def passing(
        self,
        ctx: SyncContext,
        order: Sequence[int],
        joined: Mapping[int, RoomId],
        others: Mapping[int, UserRoom],
        filters: ListFilters | None,
    ) -> Sequence[int]:
        """Those of *order* that pass, in their order."""
        if filters is None:
            return order
        tests = [
            *await self._personal_tests(ctx, joined, others, filters),
            *await self._fact_tests(ctx, joined, others, filters),
        ]
        listed = order
        for test in tests:
            listed = [nid for nid in listed if test(nid)]
        return listed

    async def _personal_tests(
        self,
        ctx: SyncContext,
        joined: Mapping[int, RoomId],
        others: Mapping[int, UserRoom],
        filters: ListFilters,
    ) -> list[_Test]:
        def room_id(nid: int) -> RoomId:
            other = others.get(nid)
            return joined[nid] if other is None else other.room_id

        tests: list[_Test] = []
        if filters.is_invite is not None:
            invited = {n for n, room in others.items() if room.membership == "invite"}
            is_invite = filters.is_invite
            tests.append(lambda nid: (nid in invited) is is_invite)
        if filters.is_dm is not None:
            direct = await self.personal.direct_rooms(ctx.user_id)
            is_dm = filters.is_dm
            tests.append(lambda nid: (room_id(nid) in direct) is is_dm)
        if filters.tags is not None or filters.not_tags:
            tags = await self.personal.tags(ctx.user_id)
            wanted, unwanted = filters.tags, filters.not_tags
            if wanted is not None:
                tests.append(lambda nid: not wanted.isdisjoint(tags.get(nid, ())))
            tests.append(lambda nid: unwanted.isdisjoint(tags.get(nid, ())))
        if filters.spaces is not None:
            children = await self._children(ctx, filters.spaces)
            tests.append(lambda nid: room_id(nid) in children)
        return tests

    async def _fact_tests(
        self,
        ctx: SyncContext,
        joined: Mapping[int, RoomId],
        others: Mapping[int, UserRoom],
        filters: ListFilters,
    ) -> list[_Test]:
        types, not_types = filters.room_types, filters.not_room_types
        is_encrypted, name = filters.is_encrypted, filters.room_name_like
        if types is None and not not_types and is_encrypted is None and name is None:
            return []
        # Live, and complete for as long as nothing is awaited.
        elsewhere = await self._facts_elsewhere(ctx.user_id, others)
        of_joined = await self.overview.facts(joined.keys())

        def facts(nid: int) -> RoomFacts:
            return elsewhere.get(nid) or of_joined[nid]

        tests: list[_Test] = []
        if types is not None:
            tests.append(lambda nid: facts(nid).room_type in types)
        if not_types:
            tests.append(lambda nid: facts(nid).room_type not in not_types)
        if is_encrypted is not None:
            tests.append(lambda nid: facts(nid).is_encrypted is is_encrypted)
        if name is not None:
            tests.append(lambda nid: name in facts(nid).name.casefold())
        return tests

    async def _children(
        self, ctx: SyncContext, spaces: frozenset[str]
    ) -> frozenset[str]:
        """The rooms that are directly in one of the *spaces* that the user is in."""
        children: set[str] = set()
        for space in spaces & set(ctx.joined_rooms.values()):
            view = await self.reader.find_room(RoomId(space))
            if view is None or not view.is_joined(ctx.user_id):
                continue
            children.update(
                key[1]
                for key, event in view.other_state.items()
                if key[0] == _CHILD and isinstance(event.content.get("via"), list)
            )
        return frozenset(children)

    async def _facts_elsewhere(
        self, user_id: UserId, others: Mapping[int, UserRoom]
    ) -> Mapping[int, RoomFacts]:
        """Of rooms that the user is not in: as they were told with an invitation, or
        as they were when the user was there.
        """
        found: dict[int, RoomFacts] = {}
        unknown: list[UserRoom] = []
        for nid, room in others.items():
            known = self.cache.get((user_id, nid, room.event_nid))
            if known is None:
                unknown.append(room)
            else:
                found[nid] = known
        outside = await self.outside.among(user_id, unknown)
        for room in unknown:
            nid = room.room_nid
            if nid in outside:
                facts = _told_facts(outside[nid].stripped_state)
            elif room.room_pos == NO_POS:
                facts = RoomFacts()
            else:
                facts = await self.overview.facts_at(nid, room.room_pos)
            found[nid] = facts
            self.cache.put((user_id, nid, room.event_nid), facts, _ENTRY_BYTES)
        return found


def _told_facts(stripped_state: Sequence[bytes]) -> RoomFacts:
    contents: dict[str, Mapping[str, Any]] = {}
    for raw in stripped_state:
        event = orjson.loads(raw)
        if event["state_key"] == "":
            contents[event["type"]] = event["content"]
    return RoomFacts.of(contents)
