"""Searches the events of a user's rooms, a page at a time.

The index is asked for the newest documents that match, some hundreds at once: a
*window*. What is to be shown of it is put in order and handed out page by page; then
comes the next window. So no search costs more than some windows, and of many thousand
results the newest are ranked first.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tremula.features.account_data.service import AccountData
from tremula.features.search import storage
from tremula.features.search.documents import key_term, room_term, sender_term
from tremula.features.search.judging import Hit, Judge, Reader
from tremula.features.search.request import (
    GroupKey,
    OrderBy,
    PageToken,
    SearchRequest,
)
from tremula.features.search.storage import Wanted
from tremula.infra.db import Database, Statements
from tremula.protocol.identifiers import RoomId, UserId
from tremula.rooms.following import Follower
from tremula.rooms.memberships import Memberships

_WINDOW: Final = {OrderBy.RANK: 500, OrderBy.RECENT: 100}
_WINDOWS_MAX: Final = 5
_ROOMS_AT_ONCE: Final = 500
_SENDERS_AT_ONCE: Final = 100
_DELETED_AT_ONCE: Final = 500


class Results(Struct, frozen=True):
    """A page of hits. ``next_page`` leads to more of them, if there may be more, of
    which those of ``more_in`` are known, if that is not None.

    ``count`` is that of the windows that were looked at.
    """

    hits: Sequence[Hit]
    count: int
    reader: Reader
    next_page: PageToken | None = None
    more_in: AbstractSet[tuple[GroupKey, str]] | None = None

    def next_of_group(self, key: GroupKey, value: str) -> PageToken | None:
        """Where more of one group is."""
        if self.next_page is None:
            return None
        if self.more_in is not None and (key, value) not in self.more_in:
            return None
        return replace(self.next_page, group=(key, value))


class Search(Struct, frozen=True):
    """Finds what a user may see."""

    db: Database
    index: Follower
    judge: Judge
    memberships: Memberships
    account_data: AccountData

    async def room_events(
        self, user_id: UserId, request: SearchRequest, page: PageToken
    ) -> Results:
        """A page of what *user_id* is looking for."""
        rooms = await self._rooms(user_id, request, page)
        ignored = await self.account_data.ignored_users(user_id)
        reader = Reader(user_id, ignored, rooms)
        if request.query.is_empty or not rooms or not request.keys:
            return Results((), 0, reader)
        await self.index.catch_up()
        wanted = _wanted(request, page, rooms)
        size = _WINDOW[request.order_by]
        shown: list[Hit] = []
        count = 0
        for _ in range(_WINDOWS_MAX):
            doc_ids = await self._newest(wanted, page.before, size)
            hits = await self.judge.hits(reader, doc_ids, request)
            hits = [hit for hit in hits if _is_of_group(hit, page)]
            count += len(hits)
            rest = _in_order(hits, request.order_by, page)
            missing = request.limit - len(shown)
            shown, rest = shown + rest[:missing], rest[missing:]
            is_last = len(doc_ids) < size
            if rest:
                next_page = replace(page, after=_sort_key(shown[-1], request.order_by))
                more_in = _groups(rest) if is_last else None
                return Results(shown, count, reader, next_page, more_in)
            if is_last:
                return Results(shown, count, reader)
            page = replace(page, before=doc_ids[-1], after=None)
            if len(shown) == request.limit:
                break
        return Results(shown, count, reader, page)

    async def forget_room(self, room_nid: int) -> None:
        """Delete all that the index has of a room; safe to repeat."""
        wanted = Wanted(one_of=((room_term(room_nid),),))
        while doc_ids := await storage.documents_before(
            self.db, PageToken().before, wanted, limit=_DELETED_AT_ONCE
        ):
            unit = Statements()
            storage.delete_documents(unit, self.db.engine, doc_ids)
            await self.db.commit(unit)

    async def _rooms(
        self, user_id: UserId, request: SearchRequest, page: PageToken
    ) -> Mapping[int, RoomId]:
        """The rooms to search in: who is invited may have been in the room before."""
        only = (
            page.group[1] if page.group and page.group[0] == GroupKey.ROOM_ID else None
        )
        return {
            nid: room.room_id
            for nid, room in (await self.memberships.of_user(user_id)).items()
            if not room.forgotten
            and request.filter.rooms.admits(room.room_id)
            and only in {None, room.room_id}
        }

    async def _newest(
        self, wanted: Sequence[Wanted], before: int, size: int
    ) -> list[int]:
        found: list[int] = []
        for each in wanted:
            found += await storage.documents_before(self.db, before, each, limit=size)
        return sorted(found, reverse=True)[:size]


def _wanted(
    request: SearchRequest, page: PageToken, room_nids: Iterable[int]
) -> list[Wanted]:
    """What the index is asked for; it knows 500 rooms at a time."""
    terms = tuple(request.query.index_terms())
    groups = [tuple(map(key_term, request.keys))]
    senders = request.filter.events.senders
    if page.group is not None and page.group[0] == GroupKey.SENDER:
        senders = frozenset({page.group[1]})
    if senders is not None and 0 < len(senders) <= _SENDERS_AT_ONCE:
        groups.append(tuple(map(sender_term, senders)))
    rooms = sorted(map(room_term, room_nids))
    return [
        Wanted(terms, (*groups, tuple(rooms[start : start + _ROOMS_AT_ONCE])))
        for start in range(0, len(rooms), _ROOMS_AT_ONCE)
    ]


def _in_order(hits: Iterable[Hit], order_by: OrderBy, page: PageToken) -> list[Hit]:
    """The hits after those of earlier pages."""
    ordered = sorted(hits, key=lambda hit: _sort_key(hit, order_by), reverse=True)
    after = page.after
    if after is None:
        return ordered
    return [hit for hit in ordered if _sort_key(hit, order_by) < after]


def _sort_key(hit: Hit, order_by: OrderBy) -> tuple[float, int]:
    return hit.rank if order_by is OrderBy.RANK else 0.0, hit.doc_id


def _groups(hits: Iterable[Hit]) -> AbstractSet[tuple[GroupKey, str]]:
    return {(key, group_of(hit, key)) for hit in hits for key in GroupKey}


def group_of(hit: Hit, key: GroupKey) -> str:
    """The group that *hit* is in."""
    if key is GroupKey.SENDER:
        return hit.event.sender
    return hit.room.access.view.room_id


def _is_of_group(hit: Hit, page: PageToken) -> bool:
    return page.group is None or group_of(hit, page.group[0]) == page.group[1]
