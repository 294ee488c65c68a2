"""Sends one transaction to one application service."""

from msgspec import Struct

from tremula.features.appservice_transactions import storage
from tremula.features.appservice_transactions.composing import Composer
from tremula.features.appservice_transactions.courier import Courier, DeliveryFailed
from tremula.features.appservice_transactions.interest import takes_transactions
from tremula.features.appservice_transactions.metrics import TransactionMetrics
from tremula.features.appservice_transactions.queue import Begun, Queue
from tremula.features.appservice_transactions.storage import Transaction
from tremula.features.appservices.service import Appservice, Appservices
from tremula.infra.db import Database, Statements
from tremula.infra.slots import Slots


class Sender(Struct, frozen=True):
    """Stores a transaction, in the unit that removes what it is made of, and then sends
    it until it is taken.

    That it was taken is stored with the next one, or when there is none: so whoever
    remembers transaction IDs gets everything once.
    """

    database: Database
    slots: Slots
    appservices: Appservices
    composer: Composer
    couriers: list[Courier]
    metrics: TransactionMetrics

    async def send(self, queue: Queue) -> None:
        """Send the next transaction, or the one that was not taken so far.

        Raises:
            DeliveryFailed: it was not taken.
            SlotLost: another process sends to this application service.
        """
        await self.appservices.catch_up()
        appservice = self.appservices.find(queue.appservice_id)
        if appservice is None or not takes_transactions(appservice):
            await self._clear(queue)
            return
        transaction = await self._find_begun(queue)
        if transaction is None:
            transaction = await self._begin(queue, appservice)
        if transaction is not None:
            await self._deliver(appservice, transaction)
            queue.begun = Begun.TAKEN

    async def _find_begun(self, queue: Queue) -> Transaction | None:
        if queue.begun in {Begun.NONE, Begun.TAKEN}:
            return None
        found = await storage.find_begun(self.database, queue.appservice_id)
        queue.begun = Begun.NONE if found is None else Begun.UNDER_WAY
        return found

    async def _begin(self, queue: Queue, appservice: Appservice) -> Transaction | None:
        queue.has_news = False
        composed = await self.composer.compose(appservice)
        if composed is None and queue.begun is Begun.NONE:
            return None
        unit = Statements(lease=self.slots.lease(appservice.id))
        if composed is None:
            storage.delete_begun(unit, appservice.id)
        else:
            composed.store(unit, appservice.id)
            queue.has_news |= composed.is_more
        queue.begun = Begun.UNKNOWN
        await self.database.commit(unit)
        if composed is None:
            queue.begun = Begun.NONE
            return None
        queue.begun = Begun.UNDER_WAY
        self.metrics.events.inc(len(composed.positions))
        return composed.transaction

    async def _deliver(self, appservice: Appservice, transaction: Transaction) -> None:
        courier = next((c for c in self.couriers if c.reaches(appservice)), None)
        if courier is None:
            raise DeliveryFailed("it is not connected")
        await courier.deliver(appservice, transaction.txn_id, transaction.body)
        self.metrics.taken.inc()

    async def _clear(self, queue: Queue) -> None:
        """Nobody wants any more what waits."""
        queue.has_news = False
        # Of what comes later, it may not be told here yet for whom it is.
        up_to = self.composer.position()
        unit = Statements(lease=self.slots.lease(queue.appservice_id))
        storage.delete_begun(unit, queue.appservice_id)
        storage.delete_oldest_waiting(unit, queue.appservice_id, up_to=up_to)
        await self.database.commit(unit)
        queue.begun = Begun.NONE
        more = await storage.oldest_waiting(
            self.database, queue.appservice_id, up_to=up_to, limit=1
        )
        queue.has_news |= bool(more)
