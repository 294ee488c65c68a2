"""Fetches device lists of other servers' users, each once at a time."""

import asyncio
from collections.abc import Collection
from functools import partial
from typing import Final
from urllib.parse import quote

import structlog
from msgspec import Struct

from tremula.features.device_keys.service import UserKeys
from tremula.features.device_lists.service import TOPIC as DEVICE_LIST_TOPIC
from tremula.features.device_lists.service import DeviceListChange, DeviceLists
from tremula.features.remote_devices import storage
from tremula.features.remote_devices.parsing import FetchedList, parse_list
from tremula.features.remote_devices.storage import StoredList
from tremula.infra.clock import Clock
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.errors import PeerError, RemoteError
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.infra.supervisor import Supervisor
from tremula.protocol.identifiers import UserId, server_of
from tremula.rooms.sharing import SharedRooms

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 30.0

_AT_ONCE: Final = 32
_BYTES_MAX: Final = 16 * 1024 * 1024
_FIRST_PAUSE_MS: Final = 60_000
_LONGEST_PAUSE_MS: Final = 6 * 3600 * 1000
_FAILURES_COUNTED_MAX: Final = 20


WANTED_TOPIC: Final = "wanted_device_lists"
"""Announced with a server as key and no payload: some of its users' lists are."""


def announce_wanted(unit: JournalUnit, user_ids: Collection[UserId]) -> None:
    """Have whoever fetches the lists of these users look for what is wanted."""
    for server in {server_of(user_id) for user_id in user_ids}:
        unit.announce(WANTED_TOPIC, server, None, pos=unit.pos())


class Fetched(Struct, frozen=True):
    """What came of it: keys, None if there is no such user, or why nothing is known."""

    keys: UserKeys | None = None
    error: RemoteError | None = None


class _Asked(Struct, frozen=True):
    """When a list was asked for, and whether it was wanted before."""

    pos: int
    was_wanted: bool


class ListFetcher:
    """Fetches lists and keeps them, of users that we share a room with.

    That a list is wanted is stored before it is asked for, and until it is stored in
    turn: a crash, or an update that comes meanwhile, loses nothing. Of one that was
    wanted when it was asked for, our users are told with the unit that stores it:
    clients may have asked in vain, or got what was known before.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        client: FederationClient,
        shared: SharedRooms,
        lists: DeviceLists,
        supervisor: Supervisor,
        changing: KeyedLocks[UserId],
    ) -> None:
        self._db = lists.db
        self._journal = journal
        self._clock = clock
        self._client = client
        self._shared = shared
        self._lists = lists
        self._supervisor = supervisor
        self._changing = changing
        self._running: dict[UserId, asyncio.Future[Fetched]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self.something_wanted = asyncio.Event()
        journal.subscribe(DEVICE_LIST_TOPIC, self._superseded)
        journal.subscribe(WANTED_TOPIC, lambda *_: self.something_wanted.set())

    async def fetch(self, user_id: UserId, *, seen_pos: int) -> Fetched:
        """The list of a user, for everyone who waits for it.

        It goes on when they stop waiting. At the journal position *seen_pos* there was
        none that counts: if one has come since, that will do.
        """
        future = self._running.get(user_id)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._running[user_id] = future
            work = partial(self._run, user_id, seen_pos, future)
            self._supervisor.run_once("fetch_device_list", work)
        return await asyncio.shield(future)

    async def want(self, user_ids: list[UserId], *, in_ms: int = 0) -> None:
        """Have lists fetched in the background."""
        if not user_ids:
            return
        unit = self._journal.unit()
        retry_at_ms = self._clock.now_ms() + in_ms
        storage.insert_wanted(unit, user_ids, retry_at_ms=retry_at_ms)
        announce_wanted(unit, user_ids)
        await self._journal.commit(unit)

    def _superseded(self, _pos: int, user_id: object, _payload: object) -> None:
        # An update has come: who asks from now on does not get what is on its way.
        assert isinstance(user_id, str)
        self._running.pop(UserId(user_id), None)

    async def _run(
        self, user_id: UserId, seen_pos: int, future: "asyncio.Future[Fetched]"
    ) -> None:
        try:
            async with self._turns:
                future.set_result(await self._fetched(user_id, seen_pos))
        finally:
            if self._running.get(user_id) is future:
                del self._running[user_id]
            if not future.done():
                future.set_result(Fetched(error=RemoteError("not fetched")))

    async def _fetched(self, user_id: UserId, seen_pos: int) -> Fetched:
        try:
            if await storage.wanted_among(self._db, [user_id]):
                return await self._fetch(user_id, was_wanted=True)
            kept = await self._kept_since(user_id, seen_pos)
            return Fetched(kept) if kept else await self._fetch(user_id)
        except Exception:
            # CVE-2025-61672: whatever is wrong with what one server answers, nobody
            # else is to wait for it.
            log.exception("device_list_failed", user_id=user_id)
            return await self._failed(user_id, RemoteError("our own failure"))

    async def _kept_since(self, user_id: UserId, pos: int) -> UserKeys | None:
        kept = (await storage.lists_of(self._db, [user_id])).get(user_id)
        return kept.keys if kept is not None and kept.shared_pos >= pos else None

    async def _fetch(self, user_id: UserId, *, was_wanted: bool = False) -> Fetched:
        # Before it is due in the background this one is done.
        await self.want([user_id], in_ms=_FIRST_PAUSE_MS)
        asked = _Asked(self._journal.position, was_wanted=was_wanted)
        try:
            fetched = parse_list(await self._ask(user_id), user_id)
        except PeerError as error:
            if error.status != 404:
                return await self._failed(user_id, error)
            await self._keep(user_id, None, asked)
            return Fetched()
        except RemoteError as error:
            return await self._failed(user_id, error)
        await self._keep(user_id, fetched, asked)
        return Fetched(fetched.keys)

    async def _ask(self, user_id: UserId) -> object:
        path = f"/_matrix/federation/v1/user/devices/{quote(user_id, safe='')}"
        answer: object = await self._client.get(
            server_of(user_id), path, timeout_s=TIMEOUT_S, bytes_max=_BYTES_MAX
        )
        return answer

    async def _keep(
        self, user_id: UserId, fetched: FetchedList | None, asked: _Asked
    ) -> None:

        async def attempt() -> None:
            shared = (await self._shared.with_remote([user_id])).get(user_id)
            known = (await storage.lists_of(self._db, [user_id])).get(user_id)
            if known is not None and known.shared_pos > asked.pos:
                # Another one was asked for later, and came earlier.
                return
            unit = self._journal.unit()
            if fetched is None or shared is None:
                # Nobody would tell us of changes.
                storage.delete_lists(unit, [user_id])
            else:
                stored = StoredList(fetched.stream_id, asked.pos, fetched.keys)
                storage.replace_list(unit, user_id, stored)
            storage.delete_wanted(unit, user_id, fetched_pos=asked.pos)
            if asked.was_wanted and shared is not None:
                change = DeviceListChange()
                self._lists.changed(unit, user_id, change, room_nids=shared.room_nids)
            await self._journal.commit(unit)

        async with self._changing.of(user_id):
            await reread_on_conflict(attempt)

    async def _failed(self, user_id: UserId, error: RemoteError) -> Fetched:
        before = (await storage.wanted_among(self._db, [user_id])).get(user_id, 0)
        failures = min(before + 1, _FAILURES_COUNTED_MAX)
        pause_ms = min(_FIRST_PAUSE_MS << (failures - 1), _LONGEST_PAUSE_MS)
        unit = self._journal.unit()
        storage.update_failed(
            unit,
            user_id,
            failures=failures,
            retry_at_ms=self._clock.now_ms() + pause_ms,
        )
        announce_wanted(unit, [user_id])
        await self._journal.commit(unit)
        return Fetched(error=error)
