"""Waiting for the events of a room that somebody looks into."""

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from tremula.infra.journal import Journal
from tremula.protocol.identifiers import UserId
from tremula.rooms.staging import EVENT_TOPIC


class Peeking:
    """Tells those who watch a room of its events: others than members are not woken by
    the journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._watched: dict[Hashable, set[asyncio.Event]] = {}
        journal.subscribe(EVENT_TOPIC, self._on_event)
        journal.on_forget(self._look_again)

    @contextmanager
    def watching(self, room_nid: int) -> Iterator[asyncio.Event]:
        """An event that is set whenever something happens in the room."""
        event = asyncio.Event()
        watchers = self._watched.setdefault(room_nid, set())
        watchers.add(event)
        try:
            yield event
        finally:
            watchers.discard(event)
            if not watchers:
                self._watched.pop(room_nid, None)

    async def wait(
        self, user_id: UserId, news: asyncio.Event, timeout_s: float
    ) -> bool:
        """Wait until there are *news*; False if there are none in time, or the server
        stops. It may come back early.
        """
        after = self._journal.position
        async with asyncio.TaskGroup() as group:
            waits = (
                group.create_task(self._journal.wait(user_id, after, timeout_s)),
                group.create_task(news.wait()),
            )
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for each in waits:
                each.cancel()
        return any(each.result() for each in done)

    def _on_event(self, _pos: int, room_nid: Hashable, _payload: object) -> None:
        for event in self._watched.get(room_nid, ()):
            event.set()

    def _look_again(self) -> None:
        for watchers in self._watched.values():
            for event in watchers:
                event.set()
