"""Who is told of typing, receipts and presence, and what (AS "Pushing ephemeral data").

It is in memory only, with a bound for each application service: what happens shortly
before a restart or a move to another process, or while somebody is not reached for
long, is not told.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Final

from tremula.features.appservice_ephemeral.buffer import (
    Buffer,
    EventNews,
    News,
    PresenceNews,
    ReceiptNews,
    TypingNews,
)
from tremula.features.appservice_ephemeral.events import EphemeralData
from tremula.features.appservice_transactions.service import Gathered, Surroundings
from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.ephemeral_events.service import TOPIC as EVENT_TOPIC
from tremula.features.ephemeral_events.service import EphemeralEvent
from tremula.features.presence.service import TOPIC as PRESENCE_TOPIC
from tremula.features.receipts.service import (
    PRIVATE_TOPIC,
    PUBLIC_TOPIC,
    StoredReceipt,
)
from tremula.features.typing.service import TOPIC as TYPING_TOPIC
from tremula.features.typing.service import TypingChange
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots, slot_of
from tremula.protocol.identifiers import UserId
from tremula.rooms.events import StoredEvent

EDUS_MAX: Final = 100
_WAITING_MAX: Final = 10_000

_Happened = TypingNews | StoredReceipt | PresenceNews | EventNews


class AppserviceEphemeral:
    """Implements `TransactionPart`. Nothing is done while nobody wants to be told."""

    def __init__(
        self,
        *,
        journal: Journal,
        slots: Slots,
        appservices: Appservices,
        surroundings: Surroundings,
        data: EphemeralData,
    ) -> None:
        self._slots = slots
        self._appservices = appservices
        self._surroundings = surroundings
        self._data = data
        self._note: list[Callable[[str], None]] = []
        self._buffers: dict[str, Buffer] = {}
        self._happened: deque[_Happened] = deque(maxlen=_WAITING_MAX)
        self._something_happened = asyncio.Event()
        self._wanting = _wanting(appservices)
        appservices.on_changed(self._changed)
        slots.on_gone(self._slots_gone)
        journal.subscribe(TYPING_TOPIC, self._typing)
        journal.subscribe(PUBLIC_TOPIC, self._receipt)
        journal.subscribe(PRIVATE_TOPIC, self._receipt)
        journal.subscribe(PRESENCE_TOPIC, self._presence)
        journal.subscribe(EVENT_TOPIC, self._event)

    def on_news(self, note: Callable[[str], None]) -> None:
        """Call *note* with the ID of whoever is to be told something."""
        self._note.append(note)

    def __len__(self) -> int:
        """For how many application services something waits."""
        return len(self._buffers)

    # `TransactionPart`

    async def waiting(self) -> Collection[str]:
        """See `TransactionPart`: nothing is stored."""
        return ()

    async def gather(
        self, appservice: Appservice, _events: Sequence[StoredEvent]
    ) -> Gathered | None:
        """See `TransactionPart`."""
        buffer = self._buffers.get(appservice.id)
        if buffer is None:
            return None
        news = buffer.oldest(EDUS_MAX)
        edus = await self._data.of(news)
        return Gathered(
            {"ephemeral": edus, "de.sorunome.msc2409.ephemeral": edus},
            lambda _unit: self._told(appservice.id, buffer, news),
            is_news=bool(edus),
            is_more=len(buffer) > len(news),
        )

    def _told(self, appservice_id: str, buffer: Buffer, news: Sequence[News]) -> None:
        buffer.drop(news)
        if not buffer:
            self._buffers.pop(appservice_id, None)

    # What happens

    def _typing(self, _pos: int, room_nid: Hashable, change: object) -> None:
        assert isinstance(room_nid, int)
        assert isinstance(change, TypingChange)
        self._add(TypingNews(room_nid, change.room_id))

    def _receipt(self, _pos: int, _key: Hashable, stored: object) -> None:
        assert isinstance(stored, StoredReceipt)
        self._add(stored)

    def _presence(self, _pos: int, user_id: Hashable, _news: object) -> None:
        assert isinstance(user_id, str)
        self._add(PresenceNews(UserId(user_id)))

    def _event(self, _pos: int, room_nid: Hashable, event: object) -> None:
        assert isinstance(room_nid, int)
        assert isinstance(event, EphemeralEvent)
        size_bytes = len(event.event_json)
        self._add(EventNews(room_nid, event.room_id, event.event_id, size_bytes))

    def _add(self, happened: _Happened) -> None:
        if self._wanting:
            self._happened.append(happened)
            self._something_happened.set()

    async def run(self) -> None:
        """Find out for ever who is to be told; meant for the supervisor."""
        while True:
            await self._something_happened.wait()
            self._something_happened.clear()
            await self.sort_out()

    async def sort_out(self) -> None:
        """Find out who is to be told of what has happened."""
        surroundings = self._surroundings
        while self._happened:
            happened = self._happened.popleft()
            match happened:
                case TypingNews(_, room_id) | EventNews(_, room_id):
                    self._put(await surroundings.in_room(room_id), happened)
                case PresenceNews(user_id):
                    found = await surroundings.around(user_id, self._wanting)
                    self._put(found, happened)
                case StoredReceipt():
                    await self._put_receipt(happened)

    async def _put_receipt(self, stored: StoredReceipt) -> None:
        nid, surroundings = stored.room_nid, self._surroundings
        room_id = (await surroundings.reader.room_ids([nid])).get(nid)
        if room_id is None:
            return
        # "Private read receipts MUST only be sent for users matching one of the
        # application service's namespaces."
        if stored.receipt.is_private:
            found = surroundings.interests.of_user(stored.user_id)
        else:
            found = await surroundings.in_room(room_id)
        self._put(found, ReceiptNews(room_id, stored))

    def _put(self, appservice_ids: frozenset[str], news: News) -> None:
        for appservice_id in appservice_ids & self._wanting:
            if not self._slots.holds(appservice_id):
                continue
            self._buffers.setdefault(appservice_id, Buffer()).put(news)
            for note in self._note:
                note(appservice_id)

    # Who wants it

    def _changed(self, appservice_id: str) -> None:
        self._wanting = _wanting(self._appservices)
        if appservice_id not in self._wanting:
            self._buffers.pop(appservice_id, None)

    def _slots_gone(self, slots: Collection[int]) -> None:
        for appservice_id in [each for each in self._buffers if slot_of(each) in slots]:
            del self._buffers[appservice_id]


def _wanting(appservices: Appservices) -> frozenset[str]:
    return frozenset(
        each.id for each in appservices.all() if each.registration.receives_ephemeral
    )
