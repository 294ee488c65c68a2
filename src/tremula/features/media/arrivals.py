"""Waiting for what has an ID but no content yet."""

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final

from tremula.infra.journal import Journal
from tremula.infra.journal_unit import JournalUnit
from tremula.protocol.mxc import Mxc

TOPIC: Final = "media"


class Arrivals:
    """Tells, in every process, those who wait that the content is there."""

    def __init__(self, journal: Journal) -> None:
        self._waiting: dict[Hashable, set[asyncio.Event]] = {}
        journal.subscribe(TOPIC, self._arrived)
        journal.on_forget(self._look_again)

    def announce(self, unit: JournalUnit, mxc: Mxc) -> None:
        """Wake who waits for *mxc* once *unit* is stored."""
        unit.announce(TOPIC, str(mxc), None, pos=unit.pos())

    @contextmanager
    def expecting(self, mxc: Mxc) -> Iterator[asyncio.Event]:
        """An event that is set when content comes for *mxc*, from now on."""
        key, event = str(mxc), asyncio.Event()
        waiting = self._waiting.setdefault(key, set())
        waiting.add(event)
        try:
            yield event
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop(key, None)

    def _arrived(self, _pos: int, key: Hashable, _payload: object) -> None:
        for event in self._waiting.get(key, ()):
            event.set()

    def _look_again(self) -> None:
        for waiting in self._waiting.values():
            for event in waiting:
                event.set()
