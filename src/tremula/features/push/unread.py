"""How much of what notified a user is unread (CS "Receiving notifications")."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct, field

from tremula.features.push import storage
from tremula.features.push.marks import TOPIC, EventMarks
from tremula.features.push.service import PushRules
from tremula.features.push.storage import ThreadFloor, Wanted
from tremula.features.push.user_rules import UserRules
from tremula.features.receipts.service import (
    NOTHING_READ,
    PRIVATE_TOPIC,
    PUBLIC_TOPIC,
    ReadUpTo,
    Receipts,
    StoredReceipt,
)
from tremula.infra.cache import ByteLRU
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import UserId
from tremula.protocol.push_evaluation import PREDEFINED_KEY
from tremula.rooms import memberships as memberships_module
from tremula.rooms.memberships import Memberships
from tremula.rooms.storage import UserRoom
from tremula.rooms.threads import MAIN

_CACHE_BYTES: Final = 32 * 1024 * 1024
_COUNTED_BYTES: Final = 500
_THREAD_BYTES: Final = 200
_WANTED_PER_QUERY: Final = 500

_Key = tuple[UserId, int]


class Count(Struct, frozen=True):
    """Unread notifications, and those of them that are highlights."""

    notifications: int = 0
    highlights: int = 0


NONE: Final = Count()


class Unread(Struct, frozen=True):
    """What is unread in a room: outside of threads, and by thread root in threads."""

    main: Count = NONE
    threads: Mapping[str, Count] = {}

    @property
    def total(self) -> Count:
        """All of it together."""
        if not self.threads:
            return self.main
        counts = (self.main, *self.threads.values())
        return Count(
            sum(each.notifications for each in counts),
            sum(each.highlights for each in counts),
        )


class _Thread(Struct):
    """``newest_room_pos`` is the place of the newest mark that was counted."""

    notifies: int = 0
    highlights: int = 0
    newest_room_pos: int = 0

    def count(self) -> Count:
        """As it is told."""
        return Count(max(self.notifies, 0), max(self.highlights, 0))


class _Counted(Struct):
    """What a user has unread in a room, by all that was told up to ``pos``."""

    room_id: str
    pos: int
    threads: dict[str, _Thread] = field(default_factory=dict[str, _Thread])

    def add(self, marked: EventMarks, *, notifies: int, highlights: int) -> None:
        """Count an event that came, and is this to the user."""
        if notifies or highlights:
            thread = self.threads.get(marked.thread)
            if thread is None:
                thread = self.threads[marked.thread] = _Thread()
            thread.notifies += notifies
            thread.highlights += highlights
            thread.newest_room_pos = marked.room_pos

    def read(self, receipt: StoredReceipt) -> bool:
        """Take away what *receipt* says was read; False if that is not known."""
        of_thread = receipt.receipt.thread_id
        read = list(self.threads) if of_thread is None else [of_thread]
        for name in read:
            thread = self.threads.get(name)
            if thread is None:
                continue
            if thread.newest_room_pos > receipt.room_pos:
                return False
            del self.threads[name]
        return True

    def unread(self) -> Unread:
        """As it is told."""
        if not self.threads:
            return NOTHING_UNREAD
        if len(self.threads) == 1 and MAIN in self.threads:
            thread = self.threads[MAIN]
            return _in_main(thread.notifies, thread.highlights)
        counts = {name: thread.count() for name, thread in self.threads.items()}
        main = counts.pop(MAIN, NONE)
        return Unread(main, {n: each for n, each in counts.items() if each != NONE})


NOTHING_UNREAD: Final = Unread()


@lru_cache(maxsize=1_024)
def _in_main(notifies: int, highlights: int) -> Unread:
    """The same for all who have as much unread, of whom there are many."""
    return Unread(Count(max(notifies, 0), max(highlights, 0)))


class UnreadCounts:
    """Counts for our users, in the rooms that they are joined to.

    What was asked for lately is kept up to date from the journal: no query, whatever
    comes. A receipt for anything but the newest costs one anew.
    """

    def __init__(
        self,
        *,
        db: Reader,
        journal: Journal,
        memberships: Memberships,
        receipts: Receipts,
        rules: PushRules,
    ) -> None:
        self._db = db
        self._journal = journal
        self._memberships = memberships
        self._receipts = receipts
        self._rules = rules
        self.cache: ByteLRU[_Key, _Counted] = ByteLRU(_CACHE_BYTES)
        # What is being counted, and of that what has changed meanwhile.
        self._counting: Counter[_Key] = Counter()
        self._stale: set[_Key] = set()
        journal.subscribe(PUBLIC_TOPIC, self._receipt_told)
        journal.subscribe(PRIVATE_TOPIC, self._receipt_told)
        journal.subscribe(memberships_module.TOPIC, self._membership_told)
        journal.on_forget(self._forget_all)

    async def of(self, user_id: UserId, room_nids: Iterable[int]) -> dict[int, Unread]:
        """What is unread in those of the rooms that the user is joined to."""
        found: dict[int, Unread] = {}
        missing: list[int] = []
        for nid in room_nids:
            unread = self.recall(user_id, nid)
            if unread is None:
                missing.append(nid)
            else:
                found[nid] = unread
        if missing:
            rooms = await self._memberships.of_user(user_id)
            joined = [
                room
                for nid in missing
                if (room := rooms.get(nid)) is not None and room.membership == "join"
            ]
            if joined:
                found.update(await self._count(user_id, joined))
        return found

    def recall(self, user_id: UserId, room_nid: int) -> Unread | None:
        """What is unread in a room, if it was asked for lately; else only `of` can
        tell.
        """
        # Only what they are joined to is kept.
        counted = self._up_to_date((user_id, room_nid))
        if counted is None:
            return None
        counted.pos = self._journal.position
        return counted.unread()

    async def total(self, user_id: UserId) -> int:
        """How many notifications are unread in all rooms."""
        joined = await self._memberships.joined_by(user_id)
        unread = await self.of(user_id, joined)
        return sum(each.total.notifications for each in unread.values())

    def _up_to_date(self, key: _Key) -> _Counted | None:
        """What is counted with all that was told since; None if that is not known.

        The user's rules are looked up only for what is not the same for all.
        """
        counted = self.cache.get(key)
        if counted is None:
            return None
        user_id, room_nid = key
        told = self._journal.tail(TOPIC, room_nid, counted.pos)
        if told is None:
            self.cache.discard(key)
            return None
        for pos, marked in told:
            if not isinstance(marked, EventMarks):
                # An event was redacted: whether it had counted is not known.
                self.cache.discard(key)
                return None
            of_all = marked.of_all
            if of_all is None:
                rules = self._rules.cache.get(user_id)
                if rules is None:
                    return None
                of_user = marked.of_user(
                    user_id, rules.key_at(counted.room_id, marked.pos)
                )
                counted.add(marked, notifies=of_user[0], highlights=of_user[1])
            elif user_id != marked.sender:
                counted.add(
                    marked, notifies=of_all.notifies, highlights=of_all.highlights
                )
            counted.pos = pos
        return counted

    async def _count(
        self, user_id: UserId, rooms: Sequence[UserRoom]
    ) -> dict[int, Unread]:
        rules = await self._rules.of(user_id)
        keys = [(user_id, room.room_nid) for room in rooms]
        self._counting.update(keys)
        pos = self._journal.position
        try:
            read = await self._receipts.read_up_to(user_id, [nid for _, nid in keys])
            counted = await self._read(user_id, rooms, rules, read, up_to=pos)
        finally:
            stale = {key for key in keys if key in self._stale}
            self._counting.subtract(keys)
            for key in keys:
                if not self._counting[key]:
                    del self._counting[key]
                    self._stale.discard(key)
        for key in keys:
            if key not in stale:
                each = counted[key[1]]
                size_bytes = _COUNTED_BYTES + _THREAD_BYTES * len(each.threads)
                self.cache.put(key, each, size_bytes)
        return {nid: each.unread() for nid, each in counted.items()}

    async def _read(
        self,
        user_id: UserId,
        rooms: Sequence[UserRoom],
        rules: UserRules,
        read: Mapping[int, ReadUpTo],
        *,
        up_to: int,
    ) -> dict[int, _Counted]:
        counted = {room.room_nid: _Counted(room.room_id, up_to) for room in rooms}
        wanted: list[Wanted] = []
        for room in rooms:
            until = read.get(room.room_nid, NOTHING_READ)
            wanted += _wanted(user_id, room, rules, until, up_to=up_to)
        for start in range(0, len(wanted), _WANTED_PER_QUERY):
            portion = wanted[start : start + _WANTED_PER_QUERY]
            floors = _floors({each.room_nid for each in portion}, read)
            for each in await storage.thread_counts(self._db, user_id, portion, floors):
                threads = counted[each.room_nid].threads
                thread = threads.setdefault(each.thread, _Thread())
                thread.notifies += each.notifies
                thread.highlights += each.highlights
                thread.newest_room_pos = max(
                    thread.newest_room_pos, each.newest_room_pos
                )
        return counted

    def _receipt_told(self, _pos: int, _key: object, receipt: object) -> None:
        assert isinstance(receipt, StoredReceipt)
        key = (receipt.user_id, receipt.room_nid)
        if key in self._counting:
            self._stale.add(key)
        if key not in self.cache:
            return
        counted = self._up_to_date(key)
        if counted is None or not counted.read(receipt):
            self.cache.discard(key)

    def _membership_told(self, _pos: int, user_id: object, room: object) -> None:
        assert isinstance(user_id, str)
        assert isinstance(room, UserRoom)
        key = (UserId(user_id), room.room_nid)
        if key in self._counting:
            self._stale.add(key)
        self.cache.discard(key)

    def _forget_all(self) -> None:
        self.cache.clear()
        self._stale.update(self._counting)


def _wanted(
    user_id: UserId, room: UserRoom, rules: UserRules, read: ReadUpTo, *, up_to: int
) -> Iterable[Wanted]:
    nid, began_pos = room.room_nid, room.began_pos
    for key in (PREDEFINED_KEY, user_id):
        yield Wanted(nid, key, read.room_pos, began_pos, up_to)
    for span in rules.spans_in(room.room_id):
        after_pos, until_pos = (
            max(span.after_pos, began_pos),
            min(span.until_pos, up_to),
        )
        if span.ruleset != PREDEFINED_KEY and after_pos < until_pos:
            yield Wanted(nid, span.ruleset, read.room_pos, after_pos, until_pos)


def _floors(
    room_nids: Collection[int], read: Mapping[int, ReadUpTo]
) -> list[ThreadFloor]:
    return [
        ThreadFloor(nid, thread, room_pos)
        for nid in room_nids
        for thread, room_pos in read.get(nid, NOTHING_READ).threads.items()
    ]
