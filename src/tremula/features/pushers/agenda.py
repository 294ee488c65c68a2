"""Whose pushers are to be looked at, and when."""

import heapq
from collections.abc import Iterator

from tremula.protocol.identifiers import UserId


class Agenda:
    """Times by user; of several for one user the first counts."""

    def __init__(self) -> None:
        self._due: dict[UserId, int] = {}
        # With times that do not count any more.
        self._times: list[tuple[int, UserId]] = []

    def note(self, user_id: UserId, at_ms: int) -> None:
        """Look at the user's pushers at *at_ms*, or before."""
        noted_ms = self._due.get(user_id)
        if noted_ms is None or at_ms < noted_ms:
            self._due[user_id] = at_ms
            heapq.heappush(self._times, (at_ms, user_id))

    def take_due(self, now_ms: int) -> Iterator[UserId]:
        """Those whose time has come by *now_ms*; each is off the agenda then."""
        while self._times and self._times[0][0] <= now_ms:
            at_ms, user_id = heapq.heappop(self._times)
            if self._due.get(user_id) == at_ms:
                del self._due[user_id]
                yield user_id

    @property
    def next_ms(self) -> int | None:
        """The next time at which somebody may be due."""
        return self._times[0][0] if self._times else None
