"""What happens when the order has reached a position."""

import asyncio
import heapq
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from tremula.infra.replication.lag import Lag

Action = Callable[[], None]


class Agenda:
    """Actions by position; and whoever waits for one."""

    __slots__ = ("_due", "_lag", "_numbers", "_waiting")

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._lag = Lag(now_s)
        self._due: list[tuple[int, int, Sequence[Action]]] = []
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def add(self, actions: Mapping[int, Sequence[Action]]) -> None:
        """Do *actions* at their positions, after what was added for each before."""
        for pos, each in actions.items():
            self._lag.came(pos)
            heapq.heappush(self._due, (pos, next(self._numbers), each))

    def has_due(self, floor: int) -> bool:
        """Whether there is something to be done up to *floor*."""
        return bool(self._due) and self._due[0][0] <= floor

    def lag_s(self) -> float:
        """For how long the oldest of what is still to be done has waited."""
        return self._lag.seconds

    def do_next(self) -> None:
        """Do what comes first."""
        for action in heapq.heappop(self._due)[2]:
            action()

    async def reached(self, pos: int) -> None:
        """Wait until *pos* is passed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (pos, next(self._numbers), future))
        await future

    def passed(self, floor: int) -> None:
        """All up to *floor* is done: let go on who waits for it."""
        self._lag.passed(floor)
        while self._waiting and self._waiting[0][0] <= floor:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)
