"""What a process of several waits for: the other writers of the one journal."""

import asyncio
from typing import Final

from tremula.infra.db import DatabaseUnavailable
from tremula.infra.deadlines import Deadlines
from tremula.infra.replication.replica import Replica
from tremula.protocol.errors import Unknown

PATIENCE_S: Final = 10.0
"""How long a request waits for what other processes have acknowledged: longer than it
takes to count out one that has crashed."""
_RETRY_AFTER_MS: Final = 2_000


class OtherWriters:
    """Waits for them, with an end to its patience."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._deadlines = Deadlines()
        self._unanswered: set[asyncio.Future[None]] = set()

    def keep(self, answer: asyncio.Future[None]) -> None:
        """*answer* waits for all of them."""
        self._unanswered.add(answer)
        answer.add_done_callback(self._unanswered.discard)

    def give_up(self) -> None:
        """Answer whoever waits that they can't be reached."""
        for answer in self._unanswered:
            if not answer.done():
                message = "other processes of this server can't be reached"
                answer.set_exception(DatabaseUnavailable(message))

    async def settled(self, pos: int) -> None:
        """See ``Journal.settled``."""
        settling = self._replica.settling(pos)
        if settling is None:
            return
        due = self._deadlines.add(settling, PATIENCE_S)
        try:
            if not await settling:
                raise not_now()
        finally:
            due.discard(settling)


def not_now() -> Unknown:
    """What a client is told while the processes of the server lack each other (503)."""
    return Unknown(
        "the server is not whole at the moment, try again soon",
        status=503,
        retry_after_ms=_RETRY_AFTER_MS,
    )
