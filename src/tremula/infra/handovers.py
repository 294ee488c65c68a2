"""Handing small pieces of work over to a thread, many at once."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct, field

T = TypeVar("T")

_Work = Callable[[], Any]


class Handovers(Struct):
    """Runs in a thread, one after the other, what comes in one turn of the event loop.

    A hand-over and its way back take as long as verifying a signature does: work of
    this size had better not have one for each piece.
    """

    _waiting: list[tuple[_Work, asyncio.Future[Any]]] = field(default_factory=list)

    async def run(self, work: Callable[[], T]) -> T:
        """What *work* returns, or raises."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._hand_over, loop)
        done: asyncio.Future[T] = loop.create_future()
        self._waiting.append((work, done))
        return await done

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, self._waiting = self._waiting, []
        pieces = [work for work, _ in waiting]

        def deliver(outcomes: asyncio.Future[list[_Outcome]]) -> None:
            for (_, done), outcome in zip(waiting, outcomes.result(), strict=True):
                # Nobody waits any more for one that was cancelled.
                if not done.done():
                    outcome.put_into(done)

        loop.run_in_executor(None, _do_all, pieces).add_done_callback(deliver)


class _Outcome(Struct, frozen=True):
    value: Any = None
    error: Exception | None = None

    def put_into(self, done: asyncio.Future[Any]) -> None:
        if self.error is None:
            done.set_result(self.value)
        else:
            done.set_exception(self.error)


def _do_all(pieces: list[_Work]) -> list[_Outcome]:
    return [_outcome_of(work) for work in pieces]


def _outcome_of(work: _Work) -> _Outcome:
    try:
        return _Outcome(work())
    except Exception as error:  # noqa: BLE001 - raised again where it is waited for
        return _Outcome(error=error)
