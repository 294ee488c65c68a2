"""A user's rooms in the order of their activity, and those of them that lists want."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct

from tremula.features.sliding_sync.connection_state import ConnectionState, since
from tremula.features.sliding_sync.list_filters import ListFiltering
from tremula.features.sliding_sync.request import Wanted, WantedList
from tremula.features.sliding_sync.required_state import RoomConfig
from tremula.features.sliding_sync.storage import ConnectionKey
from tremula.features.sync.parts import IgnoredUsers, InviteBlocks, SyncContext
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.memberships import Memberships
from tremula.rooms.overview import RoomOverview
from tremula.rooms.storage import UserRoom

_INVITED: Final = ("invite", "knock")


class UserRooms(Struct, frozen=True):
    """The rooms that a user may be shown, the most recently active first.

    ``positions`` are those of the newest events; of rooms that the user is not in
    (``others``), of what the user is to them: what is going on there is not told.
    """

    order: Sequence[int]
    joined: Mapping[int, RoomId]
    others: Mapping[int, UserRoom]
    positions: Mapping[int, int]

    def room_id(self, room_nid: int) -> RoomId:
        """The ID of a room."""
        other = self.others.get(room_nid)
        return self.joined[room_nid] if other is None else other.room_id

    def by_id(self) -> Mapping[RoomId, int]:
        """The numbers of the rooms."""
        found = {room_id: nid for nid, room_id in self.joined.items()}
        return found | {room.room_id: nid for nid, room in self.others.items()}


class Windows(Struct, frozen=True):
    """What of a user's rooms a request is about.

    ``rooms`` are those in the window of a list, or subscribed, with all that is wanted
    of them; ``lists`` and ``subscribed`` say which ones they are.
    """

    counts: Mapping[str, int]
    lists: Mapping[str, Collection[int]]
    subscribed: Mapping[RoomId, int]
    rooms: Mapping[int, RoomConfig]


class RoomLists(Struct, frozen=True):
    """Finds them. No query for rooms that were looked at lately; none is loaded."""

    journal: Journal
    memberships: Memberships
    overview: RoomOverview
    ignored: IgnoredUsers
    blocks: InviteBlocks
    filtering: ListFiltering

    async def of_user(
        self, key: ConnectionKey, wanted: Wanted, state: ConnectionState, pos: int
    ) -> tuple[SyncContext, UserRooms]:
        """Whom an answer is for and up to where it reaches, were it built now; and the
        user's rooms. The client comes with the *state* at *pos*.

        No rooms for a connection that is not about any.
        """
        user_id = key.user_id
        ignored = await self.ignored.ignored_users(user_id)
        has_rooms = bool(wanted.lists or wanted.subscriptions or state.rooms)
        newest: Mapping[int, int] = {}
        others: Mapping[int, UserRoom] = {}
        while True:
            changed_pos = self.memberships.changed_pos(user_id)
            if has_rooms:
                user_rooms = await self.memberships.of_user(user_id)
                away = [
                    room
                    for room in user_rooms.values()
                    if room.membership != "join"
                    and _may_be_shown(room, ignored, state, pos)
                ]
                others = await self._others(user_id, away, state)
            joined = await self.memberships.joined_by(user_id)
            if has_rooms:
                newest = await self.overview.newest(joined.keys())
            # From here on nothing is awaited: all of it is as of one moment.
            if changed_pos == self.memberships.changed_pos(user_id):
                break
        ctx = SyncContext(
            user_id=user_id,
            device_id=key.device_id or None,
            now=self.journal.position,
            joined_rooms=joined,
            ignored_users=ignored,
        )
        if not has_rooms:
            return ctx, UserRooms((), joined, {}, {})
        positions = {nid: newest[nid] for nid in joined}
        positions.update({nid: room.event_nid for nid, room in others.items()})
        order = sorted(positions, key=positions.__getitem__, reverse=True)
        return ctx, UserRooms(order, joined, others, positions)

    async def _others(
        self, user_id: UserId, away: Sequence[UserRoom], state: ConnectionState
    ) -> dict[int, UserRoom]:
        """Those that the client knows, is to decide upon, or was thrown out of.

        Whoever leaves knows it. Who is not let in any more was never there.
        """
        # CS "Invite permission": they "MUST NOT be served".
        if any(room.membership == "invite" for room in away) and (
            await self.blocks.is_blocked(user_id)
        ):
            away = [room for room in away if room.membership != "invite"]
        shown = {
            room.room_nid: room
            for room in away
            if room.membership in _INVITED or room.room_nid in state.rooms
        }
        thrown_out = [
            room
            for room in away
            if room.room_nid not in shown and room.sender != user_id
        ]
        if thrown_out:
            for room in await self.overview.once_joined(user_id, thrown_out):
                shown[room.room_nid] = room
        return shown

    async def windows(
        self, ctx: SyncContext, rooms: UserRooms, wanted: Wanted
    ) -> Windows:
        """What *wanted* is about."""
        counts: dict[str, int] = {}
        lists: dict[str, Sequence[int]] = {}
        scope: dict[int, RoomConfig] = {}
        both = _Union()
        for name, each in wanted.lists.items():
            listed = await self.filtering.passing(
                ctx, rooms.order, rooms.joined, rooms.others, each.filters
            )
            counts[name] = len(listed)
            lists[name] = _window(listed, each)
            _add(scope, lists[name], each.config, both)
        by_id = rooms.by_id() if wanted.subscriptions else {}
        subscribed: dict[RoomId, int] = {}
        for room_id, config in wanted.subscriptions.items():
            nid = by_id.get(room_id)
            if nid is not None:
                subscribed[room_id] = nid
                _add(scope, (nid,), config, both)
        return Windows(counts, lists, subscribed, scope)


def _may_be_shown(
    room: UserRoom,
    ignored: Collection[str],
    state: ConnectionState,
    pos: int,
) -> bool:
    if room.forgotten:
        # The client may not have heard yet that it was left.
        sent = state.rooms.get(room.room_nid)
        return sent is not None and since(sent.events, pos) < room.event_nid
    return room.membership != "invite" or room.sender not in ignored


def _window(listed: Sequence[int], wanted: WantedList) -> Sequence[int]:
    if wanted.ranges is None:
        return listed
    if len(wanted.ranges) == 1:
        [(first, last)] = wanted.ranges
        return listed[first : last + 1]
    found: dict[int, None] = {}
    for first, last in wanted.ranges:
        found.update(dict.fromkeys(listed[first : last + 1]))
    return list(found)


def _add(
    scope: dict[int, RoomConfig],
    room_nids: Collection[int],
    config: RoomConfig,
    both: Callable[[RoomConfig, RoomConfig], RoomConfig],
) -> None:
    if not scope:
        scope.update(dict.fromkeys(room_nids, config))
        return
    for nid in room_nids:
        known = scope.get(nid)
        scope[nid] = config if known is None else both(known, config)


class _Union:
    """Unites configurations; the same two once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[RoomConfig, RoomConfig, RoomConfig]]
        self._known = {}

    def __call__(self, one: RoomConfig, other: RoomConfig) -> RoomConfig:
        key = (id(one), id(other))
        known = self._known.get(key)
        if known is None:
            # With what they are known by, so that it stays theirs.
            known = self._known[key] = (one, other, one | other)
        return known[2]
