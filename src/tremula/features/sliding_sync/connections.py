"""Connections: what each client has been sent, over restarts and in any process.

A client's position names a *version*, the state of its connection after an answer, and
a position in the journal. States are stored whole, and only where one differs from the
one before. Of answers that got lost the state is still there, and unused.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final

from msgspec import Struct, field

from tremula.features.sliding_sync import storage
from tremula.features.sliding_sync.connection_state import (
    EMPTY,
    ConnectionState,
    decode,
    encode,
)
from tremula.features.sliding_sync.request import SlidingBody, Wanted
from tremula.features.sliding_sync.storage import ConnectionKey, StateRow
from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.rereading import reread_on_conflict
from tremula.infra.tokens import StreamToken
from tremula.protocol.errors import UnknownPos
from tremula.protocol.identifiers import DeviceId, UserId

CONNECTIONS_MAX: Final = 20
"""Of a device; the one used least recently makes room."""

_LATER_VERSIONS_KEPT: Final = 2
_STATES_IN_MEMORY: Final = 2
_CACHE_BYTES: Final = 32 * 1024 * 1024
_ROOM_BYTES: Final = 120
_DAY_MS: Final = 24 * 3_600_000
_UNUSED_KEPT_MS: Final = 30 * _DAY_MS
_SWEEP_EVERY_S: Final = 3_600

_NUMBER: Final = r"(0|[1-9]\d{0,15})"
_POSITION: Final = re.compile(rf"{_NUMBER}_{_NUMBER}", re.ASCII)
_epochs = count(1)


class Position(Struct, frozen=True):
    """``pos``: a version of the connection's state, and a position in the journal."""

    version: int
    pos: int

    def __str__(self) -> str:
        return f"{self.version}_{self.pos}"

    @classmethod
    def parse(cls, raw: str) -> "Position":
        """Read a client's position.

        Raises:
            UnknownPos: it is none of this server's: the client has to begin anew.
        """
        match = _POSITION.fullmatch(raw)
        if match is None:
            raise UnknownPos("not a position of this server")
        return cls(int(match[1]), int(match[2]))


class Settled(Struct, frozen=True):
    """What a client wants that comes with *version* and a position between ``since``
    and ``pos``, and with ``received`` for the messages to its device, it has up to
    ``pos``; ``counts`` are those of its lists.
    """

    wanted: Wanted
    received: StreamToken | None
    version: int
    since: int
    pos: int
    counts: Mapping[str, int]


class Connection(Struct):
    """One that is in use, as much of it as is in memory here.

    ``epoch`` is another one whenever the client may lack what it was sent before.
    """

    key: ConnectionKey
    states: dict[int, ConnectionState] = field(default_factory=lambda: {0: EMPTY})
    used_ts_ms: int = 0
    answered_pos: int = 0
    epoch: int = field(default_factory=_epochs.__next__)
    settled: Settled | None = None

    def settled_for(self, body: SlidingBody, position: Position) -> Settled | None:
        """What is known to be all that a client at *position* gets."""
        settled = self.settled
        if (
            settled is not None
            and settled.version == position.version
            and settled.since <= position.pos <= settled.pos
            and settled.received == body.to_device_since
            and settled.wanted == body.wanted
        ):
            return settled
        return None

    def comes_with(self, position: Position) -> None:
        """Its client has the answers up to *position*, and no others."""
        if position.pos != self.answered_pos:
            self.epoch = next(_epochs)
        for version in [*self.states]:
            if 0 < version < position.version:
                del self.states[version]

    def keep(self, version: int, state: ConnectionState) -> None:
        """Keep the state after the newest answer."""
        self.states[version] = state
        for old in sorted(self.states)[1:-_STATES_IN_MEMORY]:
            del self.states[old]

    @property
    def lazy_device(self) -> DeviceId:
        """As what `LazyMembers` knows the connection: no device has such a name."""
        key = self.key
        return DeviceId(f"{key.device_id}\0{key.conn_id}\0{self.epoch}")


class Connections:
    """Finds and stores them. Implements `DeviceObserver`."""

    def __init__(self, db: Reader, journal: Journal, clock: Clock) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self.cache: ByteLRU[ConnectionKey, Connection] = ByteLRU(_CACHE_BYTES)
        """Of the connections in use."""

    def begin(self, key: ConnectionKey) -> Connection:
        """A connection on which nothing was sent; an earlier one is forgotten."""
        connection = Connection(key)
        self._remember(connection)
        return connection

    async def resume(self, key: ConnectionKey, position: Position) -> Connection:
        """The connection, with the state that *position* names.

        Raises:
            UnknownPos: it is not known, or not any more.
        """
        if not (position.pos and await self._journal.covers(position.pos)):
            raise UnknownPos("not a position of this server")
        connection = self.cache.get(key)
        if connection is None or position.version not in connection.states:
            connection = Connection(key)
            if position.version:
                row = await storage.find_state(self._db, key, position.version)
                if row is None:
                    raise UnknownPos("this position is not known any more")
                connection.used_ts_ms = row.used_ts_ms
                connection.states[row.version] = decode(row.rooms)
            self._remember(connection)
        connection.comes_with(position)
        if position.version:
            await self._touch(connection, position.version)
        return connection

    async def store(
        self, connection: Connection, base: int, state: ConnectionState
    ) -> int:
        """Keep the *state* after an answer to whoever came with the version *base*;
        returns its version. Durable on return.
        """
        rooms = encode(state)

        async def attempt() -> int:
            now_ms = self._clock.now_ms()
            key = connection.key
            known = await storage.versions_of(self._db, key)
            version = max(known[-1] + 1, now_ms) if known else now_ms
            unit = self._journal.unit()
            if not known:
                await self._make_room(unit, key)
            storage.delete_versions(unit, key, _unneeded(known, base))
            storage.insert_state(unit, key, StateRow(version, now_ms, rooms))
            await self._journal.commit(unit)
            connection.used_ts_ms = now_ms
            return version

        version = await reread_on_conflict(attempt)
        connection.keep(version, state)
        self._remember(connection)
        return version

    async def run(self) -> None:
        """Forget once an hour what nobody has come back to, for the supervisor. All
        processes do, to no harm.
        """
        while True:
            await self.sweep()
            await asyncio.sleep(_SWEEP_EVERY_S)

    async def sweep(self) -> None:
        """Forget what nobody has come back to for 30 days."""
        unit = self._journal.unit()
        storage.delete_unused(unit, before_ts_ms=self._clock.now_ms() - _UNUSED_KEPT_MS)
        await self._journal.commit(unit)

    # The lives of devices

    def devices_deleted(
        self, unit: JournalUnit, user_id: UserId, device_ids: Sequence[DeviceId]
    ) -> None:
        """Their connections go with them."""
        storage.delete_of_devices(unit, user_id, device_ids)

    def all_devices_deleted(
        self,
        unit: JournalUnit,
        user_id: UserId,
        known: Sequence[DeviceId],  # noqa: ARG002 - the rows say which
        *,
        but_device_id: DeviceId | None,
    ) -> None:
        """Their connections go with them."""
        storage.delete_of_user(unit, user_id, but_device_id=but_device_id or "")

    def _remember(self, connection: Connection) -> None:
        rooms = sum(len(state.rooms) for state in connection.states.values())
        self.cache.put(connection.key, connection, 1_000 + _ROOM_BYTES * rooms)

    async def _touch(self, connection: Connection, version: int) -> None:
        now_ms = self._clock.now_ms()
        if now_ms - connection.used_ts_ms < _DAY_MS:
            return
        unit = self._journal.unit()
        storage.update_used(unit, connection.key, version, used_ts_ms=now_ms)
        await self._journal.commit(unit)
        connection.used_ts_ms = now_ms

    async def _make_room(self, unit: JournalUnit, key: ConnectionKey) -> None:
        others = await storage.connections_of(self._db, key)
        surplus = others[: max(0, len(others) - CONNECTIONS_MAX + 1)]
        storage.delete_connections(unit, key.user_id, key.device_id, surplus)


def _unneeded(known: Sequence[int], base: int) -> list[int]:
    """Those before *base*, which the client has, and most of those after it."""
    later = [version for version in known if version > base]
    return [v for v in known if v < base] + later[:-_LATER_VERSIONS_KEPT]
