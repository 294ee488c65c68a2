"""What announcements call for, done by one process: the holder of its key's slot."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import Final, Generic, TypeVar

from tremula.infra.clock import Clock
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.slots import Slots, slot_of

# Longer than it takes until the slots of a process that crashed are held again.
_KEPT_S: Final = 30.0
_KEPT_MAX: Final = 10_000

T = TypeVar("T")


class Duties(Generic[T]):
    """Noted by all processes, since all are told the same; ``run`` does those of one.

    They are in memory only. Who takes a slot does what was noted for it lately: so
    nothing is lost with a process that crashes, and what it had done already is done
    again. *do* has to be safe to repeat.
    """

    def __init__(
        self, slots: Slots, clock: Clock, do: Callable[[T], Awaitable[None]]
    ) -> None:
        self._slots = slots
        self._clock = clock
        self._do = do
        # {name: (key, duty)}; the newest of a name counts.
        self._waiting: OrderedDict[Hashable, tuple[str, T]] = OrderedDict()
        # With the time when they were noted, oldest first.
        self._elsewhere: OrderedDict[Hashable, tuple[str, T, float]] = OrderedDict()
        self._something_waits = asyncio.Event()
        slots.on_taken(self._taken)

    def note(self, key: str, name: Hashable, duty: T) -> None:
        """Have *duty* done by the holder of *key*, in the place of one of its name."""
        if self._slots.holds(key):
            self._waiting[name] = (key, duty)
            self._something_waits.set()
            return
        now_s = self._clock.monotonic_s()
        self._elsewhere.pop(name, None)
        self._elsewhere[name] = (key, duty, now_s)
        self._forget_old(now_s)

    async def run(self) -> None:
        """Do them for ever; meant for the supervisor."""
        while True:
            await self.do_noted()
            await self._something_waits.wait()

    async def do_noted(self) -> None:
        """Do what was noted so far, in this order.

        Raises:
            DatabaseUnavailable: the rest, and what this was raised by, still waits.
        """
        self._something_waits.clear()
        while self._waiting:
            name, (key, duty) = self._waiting.popitem(last=False)
            if not self._slots.holds(key):
                continue
            try:
                await self._do(duty)
            except DatabaseUnavailable:
                # Unless a newer one was noted meanwhile.
                self._waiting.setdefault(name, (key, duty))
                self._waiting.move_to_end(name, last=False)
                raise

    def _taken(self, slots: Collection[int]) -> None:
        self._forget_old(self._clock.monotonic_s())
        for name, (key, duty, _) in list(self._elsewhere.items()):
            if slot_of(key) in slots:
                del self._elsewhere[name]
                self._waiting[name] = (key, duty)
        self._something_waits.set()

    def _forget_old(self, now_s: float) -> None:
        while self._elsewhere:
            name, (_, _, noted_s) = next(iter(self._elsewhere.items()))
            if now_s - noted_s <= _KEPT_S and len(self._elsewhere) <= _KEPT_MAX:
                return
            del self._elsewhere[name]
