"""Fetches in the background what is wanted, and forgets what is of no use any more."""

import asyncio
from itertools import islice
from typing import Final

from tremula.features.remote_devices import storage
from tremula.features.remote_devices.fetching import ListFetcher, announce_wanted
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.slots import Slots
from tremula.infra.together import together
from tremula.protocol.identifiers import UserId, server_of
from tremula.rooms.sharing import SharedRooms

_AT_ONCE: Final = 32
# Of which those are chosen that are done here.
_LOOKED_AT: Final = 500
_FORGETTING: Final = "unshared_device_lists"
_FORGOTTEN_AT_ONCE: Final = 500
_FORGET_EVERY_S: Final = 3600.0
_SHORTEST_WAIT_S: Final = 1.0


class Resync:
    """Keeps device lists in step with their servers, over restarts. The holder of the
    server's slot does it for its users.

    Who is not reached is asked again later and later (`ListFetcher`).
    """

    def __init__(
        self,
        *,
        db: Reader,
        journal: Journal,
        clock: Clock,
        shared: SharedRooms,
        fetcher: ListFetcher,
        slots: Slots,
    ) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._shared = shared
        self._fetcher = fetcher
        self._slots = slots
        self._forget_at_s = clock.monotonic_s()
        slots.on_taken(lambda _: self.notice())

    def want(self, unit: JournalUnit, user_id: UserId) -> None:
        """Have the list of a user fetched when *unit* is stored."""
        storage.insert_wanted(unit, [user_id], retry_at_ms=self._clock.now_ms())
        announce_wanted(unit, [user_id])

    def notice(self) -> None:
        """Something may have become wanted."""
        self._fetcher.something_wanted.set()

    async def run(self) -> None:
        """Fetch for ever; meant for the supervisor."""
        while True:
            await self._forget_at_times()
            self._fetcher.something_wanted.clear()
            await self.fetch_due()
            await self._until_due()

    async def fetch_due(self) -> None:
        """Fetch all that is due now, and tell who shares a room."""
        before: list[UserId] = []
        while due := await self._due():
            if due == before:
                # Nothing of it can be stored now.
                return
            await together({user_id: self._fetch(user_id) for user_id in due})
            before = due

    async def _due(self) -> list[UserId]:
        due = await storage.due(self._db, now_ms=self._clock.now_ms(), limit=_LOOKED_AT)
        ours = (each for each in due if self._slots.holds(server_of(each)))
        return list(islice(ours, _AT_ONCE))

    async def forget_unshared(self) -> None:
        """Forget the lists of users with whom we share no room any more."""
        after = ""
        while user_ids := await storage.listed_users(
            self._db, after=after, limit=_FORGOTTEN_AT_ONCE
        ):
            after = user_ids[-1]
            shared = await self._shared.with_remote(user_ids)
            gone = [user_id for user_id in user_ids if user_id not in shared]
            if gone:
                unit = self._journal.unit()
                storage.delete_lists(unit, gone)
                await self._journal.commit(unit)

    async def _forget_at_times(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._forget_at_s <= now_s:
            self._forget_at_s = now_s + _FORGET_EVERY_S
            if self._slots.holds(_FORGETTING):
                await self.forget_unshared()

    async def _fetch(self, user_id: UserId) -> None:
        if not await self._shared.with_remote([user_id]):
            unit = self._journal.unit()
            storage.delete_lists(unit, [user_id])
            storage.delete_wanted(unit, user_id, fetched_pos=self._journal.position)
            await self._journal.commit(unit)
            return
        await self._fetcher.fetch(user_id, seen_pos=self._journal.position)

    async def _until_due(self) -> None:
        retry_ms = await storage.next_retry_ms(self._db)
        wait_s = _FORGET_EVERY_S
        if retry_ms is not None:
            until_s = (retry_ms - self._clock.now_ms()) / 1000
            wait_s = min(wait_s, max(_SHORTEST_WAIT_S, until_s))
        try:
            async with asyncio.timeout(wait_s):
                await self._fetcher.something_wanted.wait()
        except TimeoutError:
            return
