"""One transaction to one destination: what is in it, and what follows its answer."""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Final, Protocol
from urllib.parse import quote

import structlog
from msgspec import Struct, field
from msgspec.structs import replace

from tremula.infra.clock import Clock
from tremula.infra.db import Database, SlotLost, Statements
from tremula.infra.federation import durable_edus_storage
from tremula.infra.federation import queues_storage as storage
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.destination import (
    PDUS_MAX,
    Destination,
    Entry,
    Transaction,
)
from tremula.infra.federation.errors import (
    FederationDenied,
    PeerError,
    PeerUnreachable,
)
from tremula.infra.federation.queue_metrics import QueueMetrics
from tremula.infra.slots import Slots
from tremula.protocol.errors import BadJson

log = structlog.get_logger(__name__)

_PATH: Final = "/_matrix/federation/v1/send/"
_TIMEOUT_S: Final = 60.0
_ANSWER_BYTES_MAX: Final = 1024 * 1024
# What a destination that can't be reached is kept for; then the oldest are dropped.
_DURABLE_EDUS_KEPT_MAX: Final = 5_000
_DURABLE_EDUS_KEPT_MS: Final = 30 * 24 * 3600 * 1000
# The other side does not blame what is in the transaction.
_NOT_A_REFUSAL: Final = frozenset({401, 403, 404, 405, 408, 425, 429})


class PduReader(Protocol):
    """Knows the events whose numbers are in the outbox."""

    async def pdus(self, event_nids: Sequence[int]) -> list[dict[str, Any]]:
        """The events as PDUs, in this order; those that are gone are left out."""
        ...


class Sender(Struct, frozen=True):
    """Sends one transaction and takes note of what became of it.

    ``position`` is the journal's: up to there the outbox is complete.
    """

    database: Database
    clock: Clock
    client: FederationClient
    pdus: PduReader
    metrics: QueueMetrics
    slots: Slots
    position: Callable[[], int]
    jitter: Callable[[], float] = random.random
    _numbers: Iterator[int] = field(default_factory=count)

    async def send(self, to: Destination) -> None:
        """Send the next transaction, or the one that has not arrived so far."""
        try:
            to.lease = to.lease or self.slots.lease(to.name)
            transaction = to.transaction or await self._begin(to)
            if transaction is not None:
                await self._send(to, transaction)
            await self._store_recovery(to)
        except SlotLost as error:
            # If it is only this process that is late, the destination is tried again.
            log.info("destination_lost", destination=to.name, reason=str(error))
            to.may_have_durable_edus = True
            to.failed(self.clock.now_ms(), jitter=self.jitter())
        except Exception:
            # CVE-2025-30355: whatever is wrong with what one server is to be sent, or
            # with its answer, the others get theirs.
            log.exception("sending_failed", destination=to.name)
            self.metrics.failed.inc()
            to.may_have_durable_edus = True
            to.failed(self.clock.now_ms(), jitter=self.jitter())

    async def _send(self, to: Destination, transaction: Transaction) -> None:
        try:
            await self._put(to, transaction)
        except FederationDenied:
            to.transaction = None
            to.pending.clear()
            to.edus.clear()
            to.may_have_durable_edus = False
            to.is_behind = False
            to.failures = 0
        except PeerUnreachable as error:
            await self._failed(to, transaction, str(error))
        except PeerError as error:
            if not 400 <= error.status < 500 or error.status in _NOT_A_REFUSAL:
                await self._failed(to, transaction, str(error))
            else:
                await self._refused(to, transaction, str(error))
        except BadJson as error:
            await self._refused(to, transaction, error.message)
        else:
            await self._delivered(to, transaction)

    async def _begin(self, to: Destination) -> Transaction | None:
        entries = await self._next_entries(to)
        # Where EDUs were refused beside events, they come after them.
        edus_max = to.edus_max if entries else max(1, to.edus_max)
        durable = await self._next_durable_edus(to, limit=edus_max)
        edus = to.take_edus(self.clock.now_ms(), limit=edus_max - len(durable))
        if not entries and not edus and not durable:
            return None
        transaction = Transaction(
            txn_id=self._txn_id(to),
            pos=entries[-1].pos if entries else None,
            event_nids=tuple(entry.event_nid for entry in entries),
            edus=edus,
            durable_edus=len(durable),
        )
        if transaction.is_stored:
            unit = Statements(lease=to.lease)
            storage.upsert_begun(unit, to.name, transaction, sent_pos=to.sent_pos)
            if durable:
                durable_edus_storage.update_begun(unit, to.name, durable)
            await self.database.commit(unit)
        to.transaction = transaction
        return transaction

    def _txn_id(self, to: Destination) -> str:
        """An ID that was never used: clocks of other processes may be late."""
        number = f"{self.clock.now_ms()}.{next(self._numbers)}"
        return number if to.lease is None else f"{number}.{to.lease.epoch}"

    async def _next_durable_edus(self, to: Destination, *, limit: int) -> list[int]:
        if not to.may_have_durable_edus or not limit:
            return []
        to.may_have_durable_edus = False
        found = await durable_edus_storage.waiting_positions(
            self.database, to.name, limit=limit + 1
        )
        # Or one was stored meanwhile.
        to.may_have_durable_edus |= len(found) > limit
        return found[:limit]

    async def _next_entries(self, to: Destination) -> Sequence[Entry]:
        if not to.is_behind:
            return to.take_pending()
        assert to.sent_pos is not None, "set with the first event"
        noticed_pos = to.noticed_pos
        entries = await storage.unsent(
            self.database,
            to.name,
            after=to.sent_pos,
            up_to=self.position(),
            limit=PDUS_MAX + 1,
        )
        if len(entries) > PDUS_MAX and to.is_catching_up:
            # From the newest event of a room the other side finds the older ones. As
            # rooms come in the order of their newest events, one cursor is enough.
            return await storage.newest_unsent(
                self.database,
                to.name,
                after=to.sent_pos,
                up_to=self.position(),
                limit=to.pdus_max,
            )
        to.is_behind = len(entries) > to.pdus_max or to.noticed_pos != noticed_pos
        to.is_catching_up = to.is_behind and to.is_catching_up
        return entries[: to.pdus_max]

    async def _put(self, to: Destination, transaction: Transaction) -> None:
        edus = [
            {"edu_type": edu.edu_type, "content": edu.content}
            for edu in transaction.edus
        ]
        if transaction.durable_edus:
            edus += await durable_edus_storage.begun_edus(self.database, to.name)
        body = {
            "origin": self.client.peers.own,
            "origin_server_ts": self.clock.now_ms(),
            "pdus": await self.pdus.pdus(transaction.event_nids),
            "edus": edus,
        }
        answer = await self.client.put(
            to.name,
            _PATH + quote(transaction.txn_id, safe=""),
            body,
            timeout_s=_TIMEOUT_S,
            bytes_max=_ANSWER_BYTES_MAX,
        )
        _log_rejected(to, answer)

    async def _delivered(self, to: Destination, transaction: Transaction) -> None:
        self.metrics.delivered.inc()
        self.metrics.pdus.inc(len(transaction.event_nids))
        self.metrics.edus.inc(len(transaction.edus) + transaction.durable_edus)
        if to.failures:
            log.info("destination_is_back", destination=to.name, failures=to.failures)
        await self._finish(to, transaction)
        to.succeeded()

    async def _store_recovery(self, to: Destination) -> None:
        """Store that it does not fail any more, once it has got what it missed.

        A restart in between goes on catching up.
        """
        if to.stored_failures and not to.failures and not to.is_catching_up:
            await self._store_failures(to)

    async def _finish(self, to: Destination, transaction: Transaction) -> None:
        to.transaction = None
        if not transaction.is_stored:
            return
        if transaction.pos is not None:
            to.sent_pos = transaction.pos
        unit = Statements(lease=to.lease)
        storage.update_finished(unit, to.name, sent_pos=transaction.pos)
        if transaction.durable_edus:
            durable_edus_storage.delete_begun(unit, to.name)
        await self.database.commit(unit)

    async def _failed(
        self, to: Destination, transaction: Transaction, reason: str
    ) -> None:
        self.metrics.failed.inc()
        to.failed(self.clock.now_ms(), jitter=self.jitter())
        # When it is repeated, nobody wants its EDUs any more, but for the durable ones.
        self.metrics.dropped_edus.inc(len(transaction.edus))
        is_stored = transaction.is_stored
        to.transaction = replace(transaction, edus=()) if is_stored else None
        log.info(
            "destination_not_reached",
            destination=to.name,
            failures=to.failures,
            retry_in_s=(to.retry_at_ms - self.clock.now_ms()) // 1000,
            reason=reason,
        )
        await self._store_failures(to)

    async def _store_failures(self, to: Destination) -> None:
        unit = Statements(lease=to.lease)
        storage.upsert_failures(
            unit, to.name, failures=to.failures, retry_at_ms=to.retry_at_ms
        )
        if to.failures:
            durable_edus_storage.delete_excess(
                unit,
                to.name,
                kept_max=_DURABLE_EDUS_KEPT_MAX,
                before_ms=self.clock.now_ms() - _DURABLE_EDUS_KEPT_MS,
            )
        await self.database.commit(unit)
        to.stored_failures = to.failures

    async def _refused(
        self, to: Destination, transaction: Transaction, reason: str
    ) -> None:
        """Find what the other side can't take, and go on without it.

        SS sendTransaction has us repeat a transaction until it is taken. One event, or
        EDU, that it never takes must not keep back all that follow (CVE-2025-30355).
        """
        self.metrics.refused.inc()
        log.warning(
            "transaction_refused",
            destination=to.name,
            event_nids=transaction.event_nids,
            edus=len(transaction.edus) + transaction.durable_edus,
            reason=reason,
        )
        self.metrics.dropped_edus.inc(len(transaction.edus))
        pdus, edus = len(transaction.event_nids), transaction.durable_edus
        if pdus + edus + len(transaction.edus) <= 1 or not transaction.is_stored:
            self.metrics.dropped_edus.inc(edus)
            await self._finish(to, transaction)
            to.failed(self.clock.now_ms(), jitter=self.jitter())
            await self._store_failures(to)
            return
        if transaction.edus:
            # The others again, without those that nobody will miss.
            to.edus_max = edus
        elif pdus and edus:
            to.edus_max = 0
        elif pdus:
            pdus //= 2
        else:
            to.edus_max = edus // 2
        if pdus:
            to.pdus_max = pdus
        await self._dissolve(to)

    async def _dissolve(self, to: Destination) -> None:
        """Make other transactions of what one had."""
        to.transaction = None
        to.fall_behind()
        to.may_have_durable_edus = True
        unit = Statements(lease=to.lease)
        durable_edus_storage.update_all_waiting(unit, to.name)
        storage.update_finished(unit, to.name, sent_pos=None)
        await self.database.commit(unit)


def _log_rejected(to: Destination, answer: object) -> None:
    results = answer.get("pdus") if isinstance(answer, dict) else None
    if not isinstance(results, dict):
        return
    for event_id, result in results.items():
        if isinstance(result, dict) and result.get("error"):
            log.info(
                "pdu_not_taken",
                destination=to.name,
                event_id=event_id[:255],
                reason=str(result["error"])[:300],
            )
