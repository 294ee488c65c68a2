"""What happens when the order has reached a position."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

from tremula.infra.replication.lag import Lag

Action = Callable[[], None]


class Agenda:
    """Actions by position; and whoever waits for one."""

    __slots__ = ("_due", "_lag", "_newest_pos", "_numbers", "_waiting")

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._lag = Lag(now_s)
        self._due: list[tuple[int, int, Action]] = []
        self._waiting: list[tuple[int, int, asyncio.Future[bool]]] = []
        self._newest_pos = 0
        self._numbers = count()

    def add(self, pos: int, action: Action) -> None:
        """Do *action* at *pos*, after what was added for that before."""
        if pos > self._newest_pos:
            self._newest_pos = pos
            self._lag.came(pos)
        heapq.heappush(self._due, (pos, next(self._numbers), action))

    def lag_s(self) -> float:
        """For how long the oldest of what is still to be done has waited."""
        return self._lag.seconds

    def do_due(self, floor: int) -> bool:
        """Do what is to be done up to *floor*; whether there was anything.

        What is added meanwhile, too.
        """
        due = self._due
        if not due or due[0][0] > floor:
            return False
        while due and due[0][0] <= floor:
            heapq.heappop(due)[2]()
        return True

    def reached(self, pos: int) -> asyncio.Future[bool]:
        """To be awaited: True once *pos* is passed."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (pos, next(self._numbers), future))
        return future

    def passed(self, floor: int) -> None:
        """All up to *floor* is done: let go on who waits for it."""
        self._lag.passed(floor)
        while self._waiting and self._waiting[0][0] <= floor:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(True)
