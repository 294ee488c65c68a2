"""Decisions that rest on what was read, while other processes write as well.

The unit says what it has seen: a statement whose row is another one by then breaks a
constraint (``SET pos = CASE WHEN pos = :seen_pos THEN … END`` where ``pos`` is NOT
NULL), so that the unit fails with ``Conflict``, alone and whole. Then the decision is
made again. Within a process a lock keeps such decisions apart: it costs less.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tremula.infra.db import Conflict, DatabaseUnavailable

T = TypeVar("T")

ATTEMPTS_MAX: Final = 12
_AT_ONCE: Final = 3
_FIRST_PAUSE_S: Final = 0.002
_LONGEST_PAUSE_S: Final = 0.1


async def reread_on_conflict(attempt: Callable[[], Awaitable[T]]) -> T:
    """Do *attempt*, which reads, decides and commits, until nobody was faster.

    After some attempts it pauses before each, longer and longer, at random: of those
    who are in each other's way somebody comes through.

    Raises:
        DatabaseUnavailable: others were faster, twelve times; or something else refuses
            the unit.
    """
    pause_s = _FIRST_PAUSE_S
    for attempts in range(1, ATTEMPTS_MAX):
        try:
            return await attempt()
        except Conflict:
            if attempts >= _AT_ONCE:
                await asyncio.sleep(random.uniform(0, pause_s))  # noqa: S311 - no secret
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    try:
        return await attempt()
    except Conflict as conflict:
        raise DatabaseUnavailable(f"too many at once want this: {conflict}") from None
