"""Many queues, each sent to by one sender at a time, of which there are few.

Queues take no task and no timer of their own. Those that failed lately are tried again
after a pause, by some of the senders only: they must not hold up the others.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

from tremula.infra.clock import Clock
from tremula.infra.slots import slot_of


class Phase(Enum):
    """What is being done about a queue."""

    IDLE = auto()
    READY = auto()
    SENDING = auto()
    PAUSING = auto()


class Queue(Protocol):
    """Somebody for whom there may be something to send.

    ``failures``: how often in a row it failed; then it is tried again at
    ``retry_at_ms``.
    """

    phase: Phase
    failures: int
    retry_at_ms: int

    @property
    def key(self) -> str:
        """Who that is; its slot's holder sends."""
        ...


Q = TypeVar("Q", bound=Queue)


class Turns(Generic[Q]):
    """Gives each queue its turn to be sent to.

    ``queues`` are those that are known here, by their keys. Whoever is taken out of
    them is not sent to any more, but for what is under way.
    """

    def __init__(
        self,
        clock: Clock,
        send: Callable[[Q], Awaitable[None]],
        *,
        senders_max: int,
        retrying_senders_max: int,
    ) -> None:
        self.queues: dict[str, Q] = {}
        self.something_to_do = asyncio.Event()
        self._clock = clock
        self._send = send
        self._senders_max = senders_max
        self._retrying_senders_max = retrying_senders_max
        self._ready: deque[Q] = deque()
        self._retrying: deque[Q] = deque()
        self._pauses: list[tuple[int, str]] = []
        self._senders = 0
        self._retrying_senders = 0

    def clear(self) -> None:
        """Forget all queues."""
        self.queues.clear()
        self._ready.clear()
        self._retrying.clear()
        self._pauses.clear()

    def drop_slots(self, slots: Collection[int]) -> None:
        """Forget those that another process goes on with."""
        for key in [each for each in self.queues if slot_of(each) in slots]:
            del self.queues[key]

    def count(self, phase: Phase) -> int:
        """How many are in *phase*."""
        return sum(each.phase is phase for each in self.queues.values())

    def is_current(self, queue: Q) -> bool:
        """Whether it has not been forgotten meanwhile."""
        return self.queues.get(queue.key) is queue

    def pause(self, queue: Q) -> None:
        """Have it sent to at its ``retry_at_ms``. If it pauses already, that was
        changed.
        """
        queue.phase = Phase.PAUSING
        heapq.heappush(self._pauses, (queue.retry_at_ms, queue.key))
        self.something_to_do.set()

    def make_ready(self, queue: Q) -> None:
        """Have it sent to as soon as there is a sender."""
        queue.phase = Phase.READY
        (self._retrying if queue.failures else self._ready).append(queue)
        self.something_to_do.set()

    def start_senders(self, group: asyncio.TaskGroup) -> None:
        """Begin to send to all whose turn it is; senders end when there is none."""
        self._end_pauses()
        wanted = len(self._ready) + len(self._retrying)
        for _ in range(min(wanted, self._senders_max - self._senders)):
            self._senders += 1
            group.create_task(self._send_until_none_is_ready())

    async def until_something_to_do(self) -> None:
        """Wait until a pause ends, or ``something_to_do`` is set."""
        timeout_s = None
        if self._pauses:
            timeout_s = max(0, self._pauses[0][0] - self._clock.now_ms()) / 1000
        try:
            async with asyncio.timeout(timeout_s):
                await self.something_to_do.wait()
        except TimeoutError:
            return

    def _end_pauses(self) -> None:
        now_ms = self._clock.now_ms()
        while self._pauses and self._pauses[0][0] <= now_ms:
            at_ms, key = heapq.heappop(self._pauses)
            queue = self.queues.get(key)
            # Of a pause that was changed, the former end is still there.
            if (
                queue is not None
                and queue.phase is Phase.PAUSING
                and queue.retry_at_ms == at_ms
            ):
                self.make_ready(queue)

    async def _send_until_none_is_ready(self) -> None:
        try:
            while (queue := self._next_ready()) is not None:
                is_retry = queue.failures > 0
                self._retrying_senders += is_retry
                queue.phase = Phase.SENDING
                try:
                    await self._send(queue)
                finally:
                    self._retrying_senders -= is_retry
        finally:
            self._senders -= 1

    def _next_ready(self) -> Q | None:
        self._end_pauses()
        while self._ready:
            queue = self._ready.popleft()
            if self.is_current(queue):
                return queue
        while self._retrying and self._retrying_senders < self._retrying_senders_max:
            queue = self._retrying.popleft()
            if self.is_current(queue):
                return queue
        return None
