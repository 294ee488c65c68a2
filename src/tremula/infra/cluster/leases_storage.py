"""Queries on ``infra_members`` and ``infra_slots`` (migrations/0021_cluster.sql), and
on who has which number in ``infra_writers``. PostgreSQL only; its clock counts.

Over a session of its own: a heartbeat must not wait for a large batch.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from tremula.infra.cluster.cluster_clock import ClusterClock
from tremula.infra.cluster.members import (
    LEASE_MS,
    NO_LOAD,
    Holding,
    Load,
    Member,
    Sight,
)
from tremula.infra.db import DatabaseUnavailable, Reader, WriterLease
from tremula.infra.db.postgres_errors import translated
from tremula.infra.db.postgres_session import MEMBER_LOCKS, Connection, connect, end
from tremula.infra.slots import SLOTS, SlotLease

WRITERS_MAX: Final = 1_023
"""The greatest number of a writer; the least is 1, which one process alone has."""
WRITER_RESTS_MS: Final = 60_000
"""For so long a number is not given out again, if others are left: its last owner may
want to know how its last commit ended."""
_TIMEOUT_S: Final = 2.0
# Others may hold a row as long as their commit takes; the next heartbeat tries again.
_SETTINGS: Final = {
    "lock_timeout": "500ms",
    "statement_timeout": "2s",
    "idle_in_transaction_session_timeout": "2s",
}
# "TREMULA3" as a number: the advisory lock of who joins.
_JOINING_LOCK: Final = int.from_bytes(b"TREMULA3")

_RESTED = """
    SELECT writer FROM infra_writers
    WHERE freed_ms < EXTRACT(EPOCH FROM clock_timestamp()) * 1000 - $1
        AND NOT EXISTS (SELECT 1 FROM infra_members AS members
                        WHERE members.writer = infra_writers.writer)
    ORDER BY writer LIMIT 1
"""
_UNUSED = """
    SELECT MIN(writer) FROM generate_series(1, $1::int) AS writer
    WHERE writer NOT IN (SELECT writer FROM infra_writers)
"""
_TAKE_WRITER = """
    INSERT INTO infra_writers (writer, reserved_pos, batch, epoch)
    VALUES ($1, 0, 0, 1)
    ON CONFLICT (writer) DO UPDATE SET epoch = infra_writers.epoch + 1
    RETURNING epoch
"""
_INSERT_MEMBER = """
    INSERT INTO infra_members
        (member, address, version, writer, is_leaving, is_reachable, expires_ms)
    VALUES ($1, $2, $3, $4, 0, 0, EXTRACT(EPOCH FROM clock_timestamp()) * 1000 + $5)
    RETURNING CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)
"""
_INSERT_SLOTS = """
    INSERT INTO infra_slots (slot, member, epoch)
    SELECT slot, NULL, 0 FROM generate_series(0, $1 - 1) AS slot
    ON CONFLICT DO NOTHING
"""
_BEAT = """
    UPDATE infra_members
    SET expires_ms = EXTRACT(EPOCH FROM clock_timestamp()) * 1000 + $2,
        is_reachable = $3, lag_ms = $4, commands = $5, clock_behind_ms = $6
    WHERE member = $1
    RETURNING CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)
"""
_MEMBERS = """
    SELECT member, address, version, writer, is_leaving, is_reachable,
        CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 - expires_ms AS BIGINT),
        clock_behind_ms, lag_ms, commands
    FROM infra_members ORDER BY member
"""
_HOLDINGS = "SELECT member, epoch FROM infra_slots ORDER BY slot"
# Whatever changes a holding raises its epoch.
_EPOCHS = "SELECT CAST(SUM(epoch) AS BIGINT) FROM infra_slots"
_LATE = """
    SELECT member, writer FROM infra_members
    WHERE member = ANY($1)
        AND expires_ms <= EXTRACT(EPOCH FROM clock_timestamp()) * 1000
    ORDER BY member FOR UPDATE SKIP LOCKED
"""
# Who holds the lock of a member's writer is its session: maybe amid a batch, in a
# process that does not go on, and then some rows are locked until it ends.
_END_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = $2 AND objid::bigint = ANY($1)
        AND objsubid = 2 AND granted AND database =
            (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_FREE_WRITERS = """
    UPDATE infra_writers
    SET epoch = epoch + 1, freed_ms = EXTRACT(EPOCH FROM clock_timestamp()) * 1000
    WHERE writer = ANY($1)
"""
_DELETE_MEMBERS = "DELETE FROM infra_members WHERE member = ANY($1)"
# A row that a dying batch has locked is left for the next heartbeat.
_CLAIM = """
    UPDATE infra_slots SET member = $1, epoch = epoch + 1
    WHERE slot IN (
        SELECT slot FROM infra_slots AS free
        WHERE slot = ANY($2)
            AND (member IS NULL OR member = $1 OR NOT EXISTS (
                SELECT 1 FROM infra_members WHERE infra_members.member = free.member))
        ORDER BY slot FOR UPDATE SKIP LOCKED)
    RETURNING slot, epoch
"""
# In the order in which batches lock them, so that neither waits for the other for ever.
_RELEASE = """
    UPDATE infra_slots SET member = NULL, epoch = epoch + 1
    WHERE slot IN (
        SELECT slot FROM infra_slots
        WHERE (slot, epoch) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
        ORDER BY slot FOR UPDATE)
"""
_LEAVE = "UPDATE infra_members SET is_leaving = 1 WHERE member = $1"
_WRITER_OF = "SELECT writer FROM infra_members WHERE member = $1 FOR UPDATE"


class PostgresLeases:
    """Implements ``LeaseTable`` over one session; reconnects by itself.

    A *clock* is told with each heartbeat what time it is.
    """

    def __init__(self, url: str, clock: ClusterClock | None = None) -> None:
        self._url = url
        self._clock = clock
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._holdings: tuple[Holding, ...] = ()
        self._epochs: int | None = None

    async def join(self, member: str, address: str, version: str) -> WriterLease:
        """Become a member, with a number to write under.

        Raises:
            DatabaseUnavailable: the database can't be reached, or all numbers are
                taken.
        """
        async with self._session() as session, session.transaction():
            await session.execute("SELECT pg_advisory_xact_lock($1)", _JOINING_LOCK)
            writer = await session.fetchval(_RESTED, WRITER_RESTS_MS)
            if writer is None:
                writer = await session.fetchval(_UNUSED, WRITERS_MAX)
            if writer is None:
                writer = await session.fetchval(_RESTED, 0)
            if writer is None:
                raise DatabaseUnavailable(f"{WRITERS_MAX} members are there already")
            epoch = await session.fetchval(_TAKE_WRITER, writer)
            row = (member, address, version, writer, LEASE_MS)
            await self._ask_time(session, _INSERT_MEMBER, *row)
            await session.execute(_INSERT_SLOTS, SLOTS)
        return WriterLease(int(writer), int(epoch))

    async def beat(
        self, member: str, *, is_reachable: bool, load: Load = NO_LOAD
    ) -> Sight | None:
        """See ``LeaseTable.beat``."""
        behind_ms = None if self._clock is None else self._clock.behind_ms
        said = (int(is_reachable), load.lag_ms, load.commands, behind_ms)
        async with self._session() as session:
            row = (member, LEASE_MS, *said)
            is_alive = await self._ask_time(session, _BEAT, *row)
            return await self._sight(session) if is_alive else None

    async def look(self) -> Sight:
        """What a heartbeat would see, without being a member."""
        async with self._session() as session:
            return await self._sight(session)

    async def bury(self, members: Sequence[str]) -> None:
        """See ``LeaseTable.bury``."""
        async with self._session() as session, session.transaction():
            late = await session.fetch(_LATE, members)
            if late:
                await self._remove(session, [(row[0], row[1]) for row in late])

    async def claim(self, member: str, slots: Sequence[int]) -> list[SlotLease]:
        """See ``LeaseTable.claim``."""
        async with self._session() as session:
            rows = await session.fetch(_CLAIM, member, slots)
        return [SlotLease(slot, epoch) for slot, epoch in rows]

    async def release(self, leases: Sequence[SlotLease]) -> None:
        """See ``LeaseTable.release``."""
        slots = [lease.slot for lease in leases]
        epochs = [lease.epoch for lease in leases]
        async with self._session() as session:
            await session.execute(_RELEASE, slots, epochs)

    async def announce_leaving(self, member: str) -> None:
        """See ``LeaseTable.announce_leaving``."""
        async with self._session() as session:
            await session.execute(_LEAVE, member)

    async def withdraw(self, member: str) -> None:
        """See ``LeaseTable.withdraw``."""
        async with self._session() as session, session.transaction():
            writer = await session.fetchval(_WRITER_OF, member)
            if writer is not None:
                await self._remove(session, [(member, writer)])

    async def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            await end(self._connection)
            self._connection = None

    async def _remove(
        self, session: Connection, members: Sequence[tuple[str, int]]
    ) -> None:
        writers = [writer for _, writer in members]
        await session.fetch(_END_SESSIONS, writers, MEMBER_LOCKS)
        await session.execute(_FREE_WRITERS, writers)
        await session.execute(_DELETE_MEMBERS, [member for member, _ in members])

    async def _ask_time(self, session: Connection, sql: str, *row: object) -> bool:
        """Whether *sql* changed a row; it says what time it is."""
        asked_ms = 0 if self._clock is None else self._clock.now_ms()
        database_ms = await session.fetchval(sql, *row)
        if database_ms is not None and self._clock is not None:
            self._clock.told(int(database_ms), asked_ms=asked_ms)
        return database_ms is not None

    async def _sight(self, session: Connection) -> Sight:
        members = await session.fetch(_MEMBERS)
        epochs = await session.fetchval(_EPOCHS)
        if epochs != self._epochs:
            rows = await session.fetch(_HOLDINGS)
            self._holdings = tuple(Holding(*row) for row in rows)
            self._epochs = sum(each.epoch for each in self._holdings)
        return Sight(tuple(_member(row) for row in members), self._holdings)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        try:
            async with self._turn, asyncio.timeout(_TIMEOUT_S):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connect(self._url, _SETTINGS)
                yield self._connection
        except TimeoutError as error:
            self._break()
            raise DatabaseUnavailable("PostgreSQL does not answer in time") from error
        except asyncpg.LockNotAvailableError as error:
            raise DatabaseUnavailable(f"a lease is being used: {error}") from error
        except asyncpg.QueryCanceledError as error:
            raise DatabaseUnavailable(f"a lease takes too long: {error}") from error
        except Exception as error:
            known = translated(error)
            if known is error:
                raise
            self._break()
            raise known from error

    def _break(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _member(row: Sequence[object]) -> Member:
    name, address, version, writer, is_leaving, is_reachable, *numbers = row
    late_ms, behind_ms, *load = numbers
    return Member(
        id=str(name),
        address=str(address),
        version=str(version),
        writer=int(str(writer)),
        is_leaving=bool(is_leaving),
        is_reachable=bool(is_reachable),
        quiet_ms=LEASE_MS + int(str(late_ms)),
        clock_behind_ms=None if behind_ms is None else int(str(behind_ms)),
        load=Load(*(int(str(each)) for each in load)),
    )


async def is_member(db: Reader, writer: int) -> bool:
    """Whether there is a member that writes with the number *writer*."""
    row = await db.first(
        "SELECT 1 FROM infra_members WHERE writer = :writer", writer=writer
    )
    return row is not None
