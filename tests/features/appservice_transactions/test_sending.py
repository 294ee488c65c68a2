"""One transaction: what is in it, and what is stored when."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from tests.fakes.clock import FakeClock
from tests.features.appservices.registrations import registration
from tremula.features.appservice_transactions import storage
from tremula.features.appservice_transactions.composing import Composer
from tremula.features.appservice_transactions.metrics import TransactionMetrics
from tremula.features.appservice_transactions.queue import Begun, Queue
from tremula.features.appservice_transactions.sending import Sender
from tremula.features.appservice_transactions.service import (
    DeliveryFailed,
    Gathered,
)
from tremula.features.appservice_transactions.storage import Waiting
from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.appservices.storage import StoredRegistration
from tremula.infra.cache import ByteLRU
from tremula.infra.db import Database, Statements, Unit
from tremula.infra.journal import Journal
from tremula.infra.metrics import Metrics
from tremula.infra.slots import SingleProcessSlots
from tremula.protocol.identifiers import ServerName
from tremula.protocol.signing import SigningKey
from tremula.rooms.aggregations import Aggregations
from tremula.rooms.erasures import Erasures
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.serialize import Serializer
from tremula.rooms.staging import OwnServer
from tremula.rooms.visibility import Visibility

URL = "http://127.0.0.1:9"
INVITATION = b'{"event_id":"$invitation","type":"m.room.member"}'


@dataclass(slots=True)
class FakeCourier:
    """Implements `Courier`: takes transactions unless it *is_down*."""

    is_down: bool = False
    taken: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def reaches(self, appservice: Appservice) -> bool:
        return True

    async def deliver(self, appservice: Appservice, txn_id: str, body: bytes) -> None:
        if self.is_down:
            raise DeliveryFailed("down")
        self.taken.append((txn_id, orjson.loads(body)))


@dataclass(slots=True)
class FakePart:
    """Implements `TransactionPart`: what the test puts in, until it is stored."""

    messages: list[str] = field(default_factory=list)
    is_news: bool = True

    async def waiting(self) -> Collection[str]:
        return ()

    async def gather(
        self, appservice: Appservice, events: Sequence[StoredEvent]
    ) -> Gathered | None:
        if not self.messages:
            return None
        [first, *others] = self.messages

        def store(unit: Unit) -> None:
            self.messages.remove(first)

        return Gathered(
            {"to_device": [first]},
            store=store,
            is_news=self.is_news,
            is_more=bool(others),
        )


@dataclass(frozen=True, slots=True)
class Sending:
    """A sender, what it sends by, and the queue of the one application service."""

    sender: Sender
    courier: FakeCourier
    part: FakePart
    journal: Journal
    queue: Queue

    async def let_wait(self, count: int = 1) -> None:
        """Have invitations wait, at positions of their own."""
        for _ in range(count):
            unit = self.journal.unit()
            pos = unit.pos()
            storage.insert_waiting(unit, ["irc"], Waiting(pos, pos, 1, INVITATION))
            await self.journal.commit(unit)

    async def send(self) -> None:
        await self.sender.send(self.queue)


@pytest.fixture
async def sending(database: Database, clock: FakeClock) -> Sending:
    journal = await Journal.open(database)
    events = EventStore(database, ByteLRU(1))
    visibility = Visibility(database, events)
    serializer = Serializer(
        events,
        await Erasures.open(database, journal, visibility),
        clock,
        OwnServer(ServerName("test"), SigningKey.from_seed("ed25519:1", bytes(32))),
        Aggregations(database, journal, events),
    )
    part, courier = FakePart(), FakeCourier()
    known = [StoredRegistration(registration(url=URL), from_file=False)]
    sender = Sender(
        database,
        SingleProcessSlots(),
        Appservices(database, journal, ServerName("test"), known),
        Composer(database, clock, lambda: journal.position, events, serializer, [part]),
        [courier],
        TransactionMetrics.registered(Metrics().registry),
    )
    return Sending(sender, courier, part, journal, Queue("irc", 0))


async def test_nothing_is_sent_where_nothing_waits(sending: Sending) -> None:
    await sending.send()

    assert not sending.courier.taken
    assert sending.queue.is_finished


async def test_a_transaction_is_forgotten_once_nothing_follows(
    sending: Sending, database: Database
) -> None:
    await sending.let_wait()

    await sending.send()
    assert sending.queue.begun is Begun.TAKEN
    assert (await storage.queued(database, "irc")).is_begun
    await sending.send()

    assert sending.queue.is_finished
    assert not (await storage.queued(database, "irc")).is_begun
    [(_, body)] = sending.courier.taken
    assert body == {"events": [orjson.loads(INVITATION)]}


async def test_what_came_before_a_crash_is_sent_again_under_its_id(
    sending: Sending,
) -> None:
    await sending.let_wait()
    await sending.send()

    await sending.sender.send(Queue("irc", 0))

    first, second = sending.courier.taken
    assert first == second


async def test_parts_come_with_events_and_are_stored_with_the_transaction(
    sending: Sending,
) -> None:
    sending.part.messages = ["one", "two"]
    sending.courier.is_down = True
    await sending.let_wait()

    with pytest.raises(DeliveryFailed):
        await sending.send()
    assert sending.part.messages == ["two"]
    assert sending.queue.has_news
    sending.courier.is_down = False
    await sending.send()
    await sending.send()

    assert [body for _, body in sending.courier.taken] == [
        {"events": [orjson.loads(INVITATION)], "to_device": ["one"]},
        {"events": [], "to_device": ["two"]},
    ]


async def test_a_part_that_is_no_news_waits_for_something_else(
    sending: Sending,
) -> None:
    sending.part.messages = ["a count"]
    sending.part.is_news = False

    await sending.send()
    assert not sending.courier.taken
    await sending.let_wait()
    await sending.send()

    [(_, body)] = sending.courier.taken
    assert body["to_device"] == ["a count"]


async def test_what_waits_for_one_that_is_gone_is_forgotten(
    sending: Sending, database: Database
) -> None:
    await sending.let_wait(3)
    await sending.send()
    unit = Statements()
    storage.insert_waiting(unit, ["gone"], Waiting(1, 1, 1))
    await database.commit(unit)
    queue = Queue("gone", 0)

    await sending.sender.send(queue)

    assert queue.is_finished
    assert await storage.ids_with_anything(database) == {"irc"}


async def test_who_has_anything_is_found_however_much_that_is(
    sending: Sending, database: Database
) -> None:
    unit = Statements()
    for pos in range(1, 4):
        storage.insert_waiting(unit, ["a", "b", "irc"], Waiting(pos, pos, 1))
    await database.commit(unit)

    assert await storage.ids_with_anything(database) == {"a", "b", "irc"}
