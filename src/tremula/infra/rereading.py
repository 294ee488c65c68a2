"""Decisions that rest on what was read, while other processes write as well.

The unit says what it has seen: a statement whose row is another one by then breaks a
constraint (``SET pos = CASE WHEN pos = :seen_pos THEN … END`` where ``pos`` is NOT
NULL), so that the unit fails with ``Conflict``, alone and whole. Then the decision is
made again. Within a process a lock keeps such decisions apart: it costs less.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tremula.infra.db import Conflict

T = TypeVar("T")

ATTEMPTS_MAX: Final = 5


async def reread_on_conflict(attempt: Callable[[], Awaitable[T]]) -> T:
    """Do *attempt*, which reads, decides and commits, until nobody was faster.

    Raises:
        Conflict: others were, five times; or something else refuses the unit.
    """
    for _ in range(ATTEMPTS_MAX - 1):
        try:
            return await attempt()
        except Conflict:
            continue
    return await attempt()
