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
    """A unit whose outcome is known: it announces nothing, and wakes nobody, if it was
    not stored.

    ``woken`` is at ``last_pos``. ``done`` runs its hooks; ``shown`` wakes those who
    wait here, and lets its waiter go on.
    """

    first_pos: int
    last_pos: int
    announced: Sequence[Announcement]
    woken: Woken | None
    done: Callable[[], None]
    shown: Callable[[], None]


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
    woken = _together([unit.woken for unit in units if unit.woken is not None])
    *portions, last = _portions(announced)
    parts = [
        Part(portion, first_pos=portion[0].pos, watermark=following[0].pos - 1)
        for portion, following in pairwise([*portions, last])
    ]
    if not last and not woken:
        return [*parts, Part()]
    first_pos = last[0].pos if parts else min(unit.first_pos for unit in units)
    return [*parts, Part(last, woken, first_pos)]


def _together(woken: Sequence[Woken]) -> Sequence[Woken]:
    """Whom *woken* name, at once: with the last of what there is to see."""
    if len(woken) < 2:
        return woken
    rooms: set[int] | None = set()
    for each in woken:
        if rooms is None or each.room_nids is None:
            rooms = None
        else:
            rooms.update(each.room_nids)
    return (
        Woken(
            max(each.pos for each in woken),
            list({user_id for each in woken for user_id in each.user_ids}),
            None if rooms is None else sorted(rooms),
        ),
    )


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
