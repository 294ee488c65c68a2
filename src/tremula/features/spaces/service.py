"""Spaces as a tree, for our users."""

from contextlib import aclosing
from typing import Final

import msgspec
import orjson
from msgspec import Struct

from tremula.features.spaces.onlookers import UserOnlookers
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
    """A place in the tree: after this room. Nothing is kept for it here."""

    suggested_only: bool
    depth_max: int
    after: str


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
        page = _Page(wanted, budget, skipped_to=_after(wanted))
        walk = Walk(
            self.lookup,
            await self.onlookers.of(user_id),
            budget,
            suggested_only=wanted.suggested_only,
            depth_max=wanted.depth_max,
        )
        via = await self.onlookers.servers(user_id, wanted.room_id)
        root = Place(wanted.room_id, via)
        async with aclosing(walk.rooms(root)) as rooms:
            async for room in rooms:
                if not page.take(room):
                    break
        if not page.is_begun:
            raise Forbidden(f"{user_id} may not see the room {wanted.room_id}")
        return page.to_json()


class _Page:
    """Collects the rooms of one page, those after ``skipped_to``."""

    def __init__(
        self, wanted: TreeRequest, budget: Budget, *, skipped_to: str | None
    ) -> None:
        self._wanted = wanted
        self._budget = budget
        self._skipped_to = skipped_to
        self._rooms: list[bytes] = []
        self._size_bytes = 0
        self._last: RoomId | None = None
        self._is_cut = False
        self.is_begun = False

    def take(self, room: SpaceRoom) -> bool:
        """Put the next room of the tree on the page, unless it is full."""
        self.is_begun = True
        if self._skipped_to is not None:
            if room.room_id == self._skipped_to:
                self._skipped_to = None
            return True
        json = room.to_json(suggested_only=self._wanted.suggested_only)
        is_full = (
            len(self._rooms) == self._wanted.limit
            or self._size_bytes + len(json) > _PAGE_BYTES_MAX
            or self._budget.is_used_up
        )
        # One room at least, so that every page goes on.
        if is_full and self._rooms:
            self._is_cut = True
            return False
        self._rooms.append(json)
        self._size_bytes += len(json)
        self._last = room.room_id
        return True

    def to_json(self) -> bytes:
        """The page.

        Raises:
            InvalidParam: the room to begin after is not there any more.
        """
        if self._skipped_to is not None:
            raise InvalidParam("from: the space has changed since, begin again")
        rooms = b",".join(self._rooms)
        # Of rooms that could not be asked for in time, the next page may know.
        if self._last is None or not (self._is_cut or self._budget.is_used_up):
            return b'{"rooms":[%b]}' % rooms
        wanted = self._wanted
        token = _Token(wanted.suggested_only, wanted.depth_max, self._last)
        return b'{"next_batch":%b,"rooms":[%b]}' % (
            orjson.dumps(format_token(token)),
            rooms,
        )


def _after(wanted: TreeRequest) -> str | None:
    if wanted.since is None:
        return None
    token = parse_token(wanted.since, _Token)
    if (token.suggested_only, token.depth_max) != (
        wanted.suggested_only,
        wanted.depth_max,
    ):
        raise InvalidParam("from: suggested_only and max_depth cannot be changed")
    return token.after
