"""Units whose outcome is known, and the messages in which the others are told of it."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

from tremula.infra.replication.messages import Announced, Topics, Woken

Announcement = tuple[str, int | str, object, int, int]
"""``(topic, key, payload, pos, size_bytes)``."""

MESSAGE_BYTES_MAX: Final = 262_144
"""The announcements of a message, unless one alone has more: a bus takes a megabyte."""


class OwnUnit(Struct, frozen=True):
    """A unit whose outcome is known: with nothing announced if it was not stored.

    ``done`` runs its hooks, ``wake`` wakes the users of ``woken`` who wait here, and
    ``answer`` lets its waiter go on.
    """

    first_pos: int
    last_pos: int
    announced: Sequence[Announcement]
    woken: Sequence[Woken]
    done: Callable[[], None]
    wake: Callable[[], None]
    answer: Callable[[], None]


class Part(Struct, frozen=True):
    """What one message tells, from ``first_pos`` on (None: nothing is told).

    What is still to come holds everybody back to ``watermark`` (None: nothing does).
    """

    announced: Sequence[Announced] = ()
    woken: Sequence[Woken] = ()
    first_pos: int | None = None
    watermark: int | None = None


def in_parts(units: Sequence[OwnUnit], topics: Topics) -> list[Part]:
    """*units* in messages that a bus takes; one, if there is nothing to tell."""
    announced = [
        Announced(topic, key, pos, size, topics.pack(topic, payload))
        for unit in units
        for topic, key, payload, pos, size in unit.announced
    ]
    announced.sort(key=_pos_of)
    woken = [each for unit in units for each in unit.woken]
    *portions, last = _portions(announced)
    parts = [
        Part(portion, first_pos=portion[0].pos, watermark=following[0].pos - 1)
        for portion, following in pairwise([*portions, last])
    ]
    if not last and not woken:
        return [*parts, Part()]
    first_pos = last[0].pos if parts else min(unit.first_pos for unit in units)
    return [*parts, Part(last, woken, first_pos)]


def _pos_of(announced: Announced) -> int:
    return announced.pos


def _portions(announced: list[Announced]) -> list[list[Announced]]:
    portions: list[list[Announced]] = [[]]
    size_bytes = 0
    for each in announced:
        size_bytes += len(bytes(each.payload))
        if size_bytes > MESSAGE_BYTES_MAX and portions[-1]:
            portions.append([])
            size_bytes = len(bytes(each.payload))
        portions[-1].append(each)
    return portions
