"""Spaces as a tree, for our users."""

from contextlib import aclosing
from typing import Final

import msgspec
import orjson
from msgspec import Struct

from tremula.features.spaces.onlookers import UserOnlooker, UserOnlookers
from tremula.features.spaces.remote import Budget
from tremula.features.spaces.space_rooms import SpaceRoom
from tremula.features.spaces.walking import Lookup, Place, Walk
from tremula.infra.clock import Clock
from tremula.protocol.errors import Forbidden, InvalidParam
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.opaque_tokens import format_token, parse_token

_PAGE_BYTES_MAX: Final = 8 * 1024 * 1024


class TreeRequest(Struct, frozen=True, kw_only=True):
    """What CS getSpaceHierarchy asks for."""

    room_id: RoomId
    suggested_only: bool
    depth_max: int
    limit: int
    since: str | None


class _Token(msgspec.Struct, array_like=True, frozen=True):
    """A place in the tree: after this room, which was the ``count``-th. Nothing is kept
    for it here.
    """

    suggested_only: bool
    depth_max: int
    after: str
    count: int = 1


class Spaces(Struct, frozen=True):
    """Walks through spaces."""

    lookup: Lookup
    onlookers: UserOnlookers
    clock: Clock

    async def page(self, user_id: UserId, wanted: TreeRequest) -> bytes:
        """The answer of CS getSpaceHierarchy, ready JSON.

        A page is shorter than ``limit`` where it would get too large, or other
        servers would have to be asked for too long: what they answered meanwhile is
        remembered for the next page.

        Raises:
            Forbidden: the user may not see the room, or there is none.
            InvalidParam: ``from`` is no token, or not one of this request.
        """
        budget = Budget.of(self.clock)
        token = _token(wanted)
        page = _Page(wanted, budget, skipped_to=token.after if token else None)
        onlooker = await self.onlookers.of(user_id)
        via = await self.onlookers.servers(user_id, wanted.room_id)
        root = Place(wanted.room_id, via)
        await self._fill(page, onlooker, root)
        if token is not None and page.is_lost:
            # The room is gone, or its server does not tell of it any more. All that
            # came before it are there, most likely.
            page = _Page(wanted, budget, skipped=token.count - 1)
            await self._fill(page, onlooker, root)
        if not page.is_begun:
            raise Forbidden(f"{user_id} may not see the room {wanted.room_id}")
        return page.to_json()

    async def _fill(self, page: "_Page", onlooker: UserOnlooker, root: Place) -> None:
        walk = Walk(
            self.lookup,
            onlooker,
            page.budget,
            suggested_only=page.wanted.suggested_only,
            depth_max=page.wanted.depth_max,
        )
        async with aclosing(walk.rooms(root)) as rooms:
            async for room in rooms:
                if not page.take(room):
                    break


class _Page:
    """Collects the rooms of one page, those after ``skipped_to``, or after so many."""

    def __init__(
        self,
        wanted: TreeRequest,
        budget: Budget,
        *,
        skipped_to: str | None = None,
        skipped: int = 0,
    ) -> None:
        self.wanted = wanted
        self.budget = budget
        self._skipped_to = skipped_to
        self._skipped = skipped
        self._count = 0
        self._rooms: list[bytes] = []
        self._size_bytes = 0
        self._last: RoomId | None = None
        self._is_cut = False
        self.is_begun = False

    @property
    def is_lost(self) -> bool:
        """Whether the room to begin after has not come, but others have."""
        return self.is_begun and self._skipped_to is not None

    def take(self, room: SpaceRoom) -> bool:
        """Put the next room of the tree on the page, unless it is full."""
        self.is_begun = True
        if self._skipped_to is not None or self._count < self._skipped:
            self._count += 1
            if room.room_id == self._skipped_to:
                self._skipped_to = None
            return True
        json = room.to_json(suggested_only=self.wanted.suggested_only)
        is_full = (
            len(self._rooms) == self.wanted.limit
            or self._size_bytes + len(json) > _PAGE_BYTES_MAX
            or self.budget.is_used_up
        )
        # One room at least, so that every page goes on.
        if is_full and self._rooms:
            self._is_cut = True
            return False
        self._rooms.append(json)
        self._size_bytes += len(json)
        self._last = room.room_id
        self._count += 1
        return True

    def to_json(self) -> bytes:
        """The page."""
        rooms = b",".join(self._rooms)
        # Of rooms that could not be asked for in time, the next page may know.
        if self._last is None or not (self._is_cut or self.budget.is_used_up):
            return b'{"rooms":[%b]}' % rooms
        wanted = self.wanted
        token = _Token(wanted.suggested_only, wanted.depth_max, self._last, self._count)
        return b'{"next_batch":%b,"rooms":[%b]}' % (
            orjson.dumps(format_token(token)),
            rooms,
        )


def _token(wanted: TreeRequest) -> _Token | None:
    if wanted.since is None:
        return None
    token = parse_token(wanted.since, _Token)
    if (token.suggested_only, token.depth_max) != (
        wanted.suggested_only,
        wanted.depth_max,
    ):
        raise InvalidParam("from: suggested_only and max_depth cannot be changed")
    return token
