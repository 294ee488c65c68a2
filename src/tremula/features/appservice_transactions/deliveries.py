"""Delivers to the application services whose slots are held here.

None waits for another one: each has a queue of its own, and those that can't be reached
are tried by a few senders that are for them alone.
"""

import asyncio
import random
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final

import structlog

from tremula.features.appservice_transactions import storage
from tremula.features.appservice_transactions.courier import DeliveryFailed
from tremula.features.appservice_transactions.marking import TOPIC
from tremula.features.appservice_transactions.queue import Queue
from tremula.features.appservice_transactions.sending import Sender
from tremula.infra.clock import Clock
from tremula.infra.db import DatabaseUnavailable, SlotLost
from tremula.infra.journal import Journal
from tremula.infra.turns import Phase, Turns

log = structlog.get_logger(__name__)

HEARD_TOPIC: Final = "appservice_heard"
"""Announced with the ID of an application service that is up, and whether it has been
reached; nothing of it is stored."""

_SENDERS_MAX: Final = 256
_RETRYING_SENDERS_MAX: Final = 64
# How often other processes are told of one that makes requests here.
_TELL_EVERY_MS: Final = 60_000
_TOLD_MAX: Final = 10_000


class Deliveries:
    """Sends to each application service one transaction at a time.

    What is to be sent lies in the database; here is only who may have something, and
    of whom has nothing, nothing at all.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        sender: Sender,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._sender = sender
        self._jitter = jitter
        self._turns: Turns[Queue] = Turns(
            clock,
            self._send,
            senders_max=_SENDERS_MAX,
            retrying_senders_max=_RETRYING_SENDERS_MAX,
        )
        self._queues = self._turns.queues
        self._is_unread = True
        self._told_ms: dict[str, int] = {}
        journal.subscribe(TOPIC, self._event_waits)
        journal.subscribe(HEARD_TOPIC, self._heard)
        journal.on_forget(self._read_again)
        sender.appservices.on_changed(self._changed)
        sender.slots.on_taken(lambda _: self._read_again())
        # Their new holders go on. What is being sent is repeated by them.
        sender.slots.on_gone(self._turns.drop_slots)
        for phase in (Phase.READY, Phase.SENDING, Phase.PAUSING):
            sender.metrics.watch(phase.name.lower(), partial(self._turns.count, phase))
        sender.metrics.oldest.set_function(self._waiting_s)

    def note(self, appservice_id: str) -> None:
        """There may be something for an application service.

        Called in every process: it is looked at by the one that holds its slot.
        """
        if not self._sender.slots.holds(appservice_id):
            return
        queue = self._queues.get(appservice_id)
        if queue is None:
            queue = Queue(appservice_id, self._clock.now_ms())
            self._queues[appservice_id] = queue
        queue.has_news = True
        self._schedule(queue)

    def is_back(self, appservice_id: str) -> None:
        """An application service can be reached again: let it be tried at once, by
        whichever process holds its slot.
        """
        self._journal.ephemeral(HEARD_TOPIC, appservice_id, payload=True)

    def heard_from(self, appservice_id: str) -> None:
        """An application service is up, since it has made a request: let it be tried
        soon, by whichever process holds its slot.
        """
        if self._sender.slots.holds(appservice_id):
            self._try_soon(appservice_id)
            return
        now_ms = self._clock.now_ms()
        if self._told_ms.get(appservice_id, -_TELL_EVERY_MS) + _TELL_EVERY_MS > now_ms:
            return
        if len(self._told_ms) >= _TOLD_MAX:
            self._told_ms.clear()
        self._told_ms[appservice_id] = now_ms
        self._journal.ephemeral(HEARD_TOPIC, appservice_id, payload=False)

    async def run(self) -> None:
        """Send for ever; meant for the supervisor."""
        self._turns.clear()
        self._read_again()
        async with asyncio.TaskGroup() as group:
            while True:
                self._turns.something_to_do.clear()
                if self._is_unread:
                    await self._read()
                self._turns.start_senders(group)
                await self._turns.until_something_to_do()

    async def _read(self) -> None:
        """Find out for whom anything was left over."""
        self._is_unread = False
        found = await storage.ids_with_anything(self._sender.database)
        for part in self._sender.composer.parts:
            found.update(await part.waiting())
        for appservice_id in found:
            self.note(appservice_id)

    def _read_again(self) -> None:
        self._is_unread = True
        self._turns.something_to_do.set()

    def _event_waits(self, _pos: int, appservice_id: Hashable, _: object) -> None:
        assert isinstance(appservice_id, str)
        self.note(appservice_id)

    def _heard(self, _pos: int, appservice_id: Hashable, is_reached: object) -> None:
        assert isinstance(appservice_id, str)
        if is_reached:
            self._try_at_once(appservice_id)
        else:
            self._try_soon(appservice_id)

    def _changed(self, appservice_id: str) -> None:
        self.note(appservice_id)
        self._try_at_once(appservice_id)

    def _try_at_once(self, appservice_id: str) -> None:
        queue = self._queues.get(appservice_id)
        if queue is not None:
            queue.failures = 0
            queue.is_back = queue.phase is Phase.SENDING
            if queue.phase is Phase.PAUSING:
                self._turns.make_ready(queue)

    def _try_soon(self, appservice_id: str) -> None:
        queue = self._queues.get(appservice_id)
        if queue is not None and queue.heard_from() and queue.phase is Phase.PAUSING:
            self._turns.pause(queue)

    def _waiting_s(self) -> float:
        now_ms = self._clock.now_ms()
        since_ms = (each.waiting_since_ms for each in self._queues.values())
        return (now_ms - min(since_ms, default=now_ms)) / 1000

    def _schedule(self, queue: Queue) -> None:
        """Let it be sent to, now or when its pause is over."""
        if queue.phase is not Phase.IDLE:
            return
        if queue.is_finished:
            del self._queues[queue.appservice_id]
        elif queue.failures:
            self._turns.pause(queue)
        else:
            self._turns.make_ready(queue)

    async def _send(self, queue: Queue) -> None:
        try:
            await self._sender.send(queue)
        except DeliveryFailed as error:
            self._failed(queue, str(error))
        except SlotLost as error:
            # If it is only this process that is late, it is tried again.
            self._failed(queue, str(error))
        except DatabaseUnavailable as error:
            log.warning("appservice_interrupted", reason=str(error))
            self._failed(queue, "the database is not there")
        except Exception:
            # Whatever is wrong with what one is to be sent, others get theirs.
            log.exception("sending_failed", appservice=queue.appservice_id)
            self._failed(queue, "an error of this server")
        else:
            if queue.failures:
                log.info("appservice_is_back", appservice=queue.appservice_id)
            queue.failures = 0
            queue.is_back = False
            queue.waiting_since_ms = self._clock.now_ms()
        queue.phase = Phase.IDLE
        if self._turns.is_current(queue):
            self._schedule(queue)

    def _failed(self, queue: Queue, reason: str) -> None:
        now_ms = self._clock.now_ms()
        self._sender.metrics.failed.inc()
        queue.failed(now_ms, jitter=self._jitter())
        log.info(
            "appservice_not_reached",
            appservice=queue.appservice_id,
            failures=queue.failures,
            retry_in_s=(queue.retry_at_ms - now_ms) // 1000,
            reason=reason,
        )
