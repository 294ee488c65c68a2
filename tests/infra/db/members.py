"""Members of a cluster at one PostgreSQL, with the tables of ``things``."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from tests.infra.db.things import open_with_things, thing
from tremula.infra.config.tree import PostgresUrl
from tremula.infra.db import Database, Statements, WriterLease, open_member_database
from tremula.infra.db.postgres_session import Connection
from tremula.infra.slots import SlotLease

_DEADLINE_S = 30


@dataclass(frozen=True, slots=True)
class Leases:
    """The tables of leases, changed as other members would."""

    source: PostgresUrl

    async def number(self, writer: int) -> WriterLease:
        """Give a writer's number to the next process."""
        epoch = await self._value(
            "INSERT INTO infra_writers (writer, reserved_pos, batch, epoch)"
            " VALUES ($1, 0, 0, 1) ON CONFLICT (writer)"
            " DO UPDATE SET epoch = infra_writers.epoch + 1 RETURNING epoch",
            writer,
        )
        return WriterLease(writer, epoch)

    async def slot(self, slot: int) -> SlotLease:
        """Give a slot to the next process; waits for commits under way."""
        epoch = await self._value(
            "INSERT INTO infra_slots (slot, epoch) VALUES ($1, 1) ON CONFLICT (slot)"
            " DO UPDATE SET epoch = infra_slots.epoch + 1 RETURNING epoch",
            slot,
        )
        return SlotLease(slot, epoch)

    async def _value(self, sql: str, number: int) -> int:
        connection = await asyncpg.connect(self.source.url)
        try:
            return int(await connection.fetchval(sql, number))
        finally:
            await connection.close()


@asynccontextmanager
async def member(source: PostgresUrl, lease: WriterLease) -> AsyncGenerator[Database]:
    """A member's database."""
    database = await open_member_database(source, lease)
    try:
        yield database
    finally:
        await database.close()


async def make_tables(source: PostgresUrl) -> None:
    """Add the tables of ``things``."""
    database = await open_with_things(source)
    await database.close()


def under(lease: SlotLease, nid: int) -> Statements:
    """A unit of one row, made under *lease*."""
    unit = thing(nid, str(nid))
    unit.lease = lease
    return unit


async def until_waiting(observer: Connection, count: int) -> None:
    """Wait until *count* sessions of the observer's database wait for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    async with asyncio.timeout(_DEADLINE_S):
        while int(await observer.fetchval(waiting)) < count:
            pass
