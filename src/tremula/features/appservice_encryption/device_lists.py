"""Changes of device lists for application services (MSC3202).

Up to where each of them was told is stored with the transaction that tells it; so what
a restart forgets is found by the log of changes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Final

from msgspec import Struct

from tremula.features.appservice_encryption import storage
from tremula.features.appservice_encryption.changes import Untold
from tremula.features.appservice_transactions.service import (
    Gathered,
    Surroundings,
    takes_transactions,
)
from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.device_lists.service import TOPIC as DEVICE_LISTS_TOPIC
from tremula.features.device_lists.service import DeviceLists
from tremula.infra.db import Database, Statements, Unit
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots, slot_of
from tremula.protocol.identifiers import UserId
from tremula.rooms.events import StoredEvent
from tremula.rooms.state import MEMBER

_WAITING_MAX: Final = 10_000


class AppserviceDeviceLists:
    """Implements `TransactionPart`. Nothing is done while nobody wants to be told."""

    def __init__(
        self,
        *,
        database: Database,
        journal: Journal,
        slots: Slots,
        appservices: Appservices,
        surroundings: Surroundings,
        device_lists: DeviceLists,
    ) -> None:
        self._database = database
        self._journal = journal
        self._slots = slots
        self._appservices = appservices
        self._surroundings = surroundings
        self._device_lists = device_lists
        self._note: list[Callable[[str], None]] = []
        self._untold: dict[str, Untold] = {}
        self._changes: deque[tuple[int, UserId]] = deque()
        self._something_changed = asyncio.Event()
        self._wanting = _wanting(appservices)
        # How often reading was asked for, and what of that is done.
        self._reads_wanted = 1
        self._reads_done = 0
        appservices.on_changed(self._appservice_changed)
        slots.on_taken(lambda _: self._read_again())
        slots.on_gone(self._slots_gone)
        journal.on_forget(self._read_again)
        journal.subscribe(DEVICE_LISTS_TOPIC, self._changed)

    def on_news(self, note: Callable[[str], None]) -> None:
        """Call *note* with the ID of whoever is to be told something."""
        self._note.append(note)

    # `TransactionPart`

    async def waiting(self) -> Collection[str]:
        """See `TransactionPart`: those for whom something is found are noted."""
        self._read_again()
        return ()

    async def gather(
        self, appservice: Appservice, events: Sequence[StoredEvent]
    ) -> Gathered | None:
        """See `TransactionPart`. Who has come or gone is told with the event that says
        so.
        """
        if appservice.id not in self._wanting:
            return None
        untold = self._untold.get(appservice.id, Untold())
        # While that is being read, it is not known up to where these are all.
        told = {} if self._is_unread else dict(untold.positions)
        company = await self._come_and_gone(appservice, events)
        changed = sorted(told.keys() | company.come)
        if not changed and not company.gone:
            return None
        known_pos = self._changes[0][0] - 1 if self._changes else self._journal.position
        pos = untold.told_pos(known_pos)
        lists = {"changed": changed, "left": sorted(company.gone)}

        def store(unit: Unit) -> None:
            storage.upsert_told(unit, appservice.id, pos=pos)
            self._told(appservice.id, untold, told)

        return Gathered(
            {"device_lists": lists, "org.matrix.msc3202.device_lists": lists},
            store if told else None,
            is_news=bool(told),
        )

    @property
    def _is_unread(self) -> bool:
        return self._reads_done < self._reads_wanted

    def _told(
        self, appservice_id: str, untold: Untold, told: dict[UserId, int]
    ) -> None:
        untold.drop(told)
        if untold.cut_pos is not None:
            self._read_again()
        if not untold.positions:
            self._untold.pop(appservice_id, None)

    async def _come_and_gone(
        self, appservice: Appservice, events: Sequence[StoredEvent]
    ) -> "_Company":
        """The users of others who have come to where those of *appservice* are."""
        come: set[UserId] = set()
        gone: set[UserId] = set()
        for event in events:
            if event.type != MEMBER or event.state_key is None:
                continue
            user_id = UserId(event.state_key)
            if appservice.matches_user(user_id):
                continue
            wanted = frozenset((appservice.id,))
            if await self._surroundings.around(user_id, wanted):
                come.add(user_id)
            else:
                gone.add(user_id)
        return _Company(come, gone)

    # What changes

    def _changed(self, pos: int, user_id: Hashable, _change: object) -> None:
        assert isinstance(user_id, str)
        if not self._wanting:
            return
        if len(self._changes) >= _WAITING_MAX:
            self._read_again()
            return
        self._changes.append((pos, UserId(user_id)))
        self._something_changed.set()

    def _read_again(self) -> None:
        self._reads_wanted += 1
        self._something_changed.set()

    async def run(self) -> None:
        """Find out for ever who is to be told; meant for the supervisor."""
        while True:
            await self.sort_out()
            await self._something_changed.wait()

    async def sort_out(self) -> None:
        """Find out who is to be told of what has changed."""
        self._something_changed.clear()
        if self._is_unread and self._wanting:
            await self._read()
        while self._changes:
            pos, user_id = self._changes[0]
            await self._put(user_id, pos, self._held())
            self._changes.popleft()

    async def _read(self) -> None:
        """Find what those who are held here were not told before."""
        wanted = self._reads_wanted
        self._untold.clear()
        positions = await storage.told_positions(self._database)
        held = self._held()
        await self._begin(held - positions.keys())
        told = {each: positions[each] for each in held & positions.keys()}
        since = min(told.values(), default=self._journal.position)
        for pos, user_id in await self._device_lists.changes_after(since):
            behind = frozenset(each for each in told if told[each] < pos)
            await self._put(user_id, pos, behind)
        self._reads_done = wanted
        for appservice_id in self._untold:
            self._tell(appservice_id)

    async def _begin(self, appservice_ids: Collection[str]) -> None:
        """Whoever is new is told of what changes from now on."""
        for appservice_id in filter(self._slots.holds, appservice_ids):
            unit = Statements(lease=self._slots.lease(appservice_id))
            storage.upsert_told(unit, appservice_id, pos=self._journal.position)
            await self._database.commit(unit)

    async def _put(self, user_id: UserId, pos: int, wanted: frozenset[str]) -> None:
        if not wanted:
            return
        for appservice_id in await self._surroundings.around(user_id, wanted):
            self._untold.setdefault(appservice_id, Untold()).put(user_id, pos)
            self._tell(appservice_id)

    def _tell(self, appservice_id: str) -> None:
        for note in self._note:
            note(appservice_id)

    # Who wants it

    def _held(self) -> frozenset[str]:
        return frozenset(filter(self._slots.holds, self._wanting))

    def _appservice_changed(self, appservice_id: str) -> None:
        self._wanting = _wanting(self._appservices)
        self._untold.pop(appservice_id, None)
        self._read_again()

    def _slots_gone(self, slots: Collection[int]) -> None:
        for appservice_id in [each for each in self._untold if slot_of(each) in slots]:
            del self._untold[appservice_id]


class _Company(Struct, frozen=True):
    come: set[UserId]
    gone: set[UserId]


def _wanting(appservices: Appservices) -> frozenset[str]:
    return frozenset(
        each.id
        for each in appservices.all()
        if each.registration.receives_encryption and takes_transactions(each)
    )
