"""Events that change while they are being read."""

from collections.abc import Callable
from typing import LiteralString

import pytest

from tremula.infra.cache import ByteLRU
from tremula.infra.db import Database, Engine, Row
from tremula.infra.db.unit import Statements
from tremula.protocol.identifiers import EventId
from tremula.rooms.event_store import EventStore

NID = 1
CHANGED = b'{"content":{"is":"new"}}'

Change = Callable[[EventStore], None]
CHANGES: list[Change] = [
    lambda store: store.forget([NID]),
    lambda store: store.forget_all(),
    lambda store: store.change(NID, CHANGED),
]


class LateReader:
    """Answers what rows were before ``meanwhile`` happened."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.meanwhile: Callable[[], None] = lambda: None

    @property
    def engine(self) -> Engine:
        return self._database.engine

    async def all(self, sql: LiteralString, /, **params: object) -> list[Row]:
        rows = await self._database.all(sql, **params)
        self.meanwhile()
        return rows

    async def first(self, sql: LiteralString, /, **params: object) -> Row | None:
        rows = await self.all(sql, **params)
        return rows[0] if rows else None

    async def scan(self, sql: LiteralString, /, **params: object) -> list[Row]:
        return await self.all(sql, **params)


async def write(database: Database, client_json: bytes) -> None:
    unit = Statements()
    unit.run(
        """
        INSERT INTO rooms_events (event_nid, event_id, room_nid, room_pos, depth,
                                  type, sender, origin_server_ts, client_json,
                                  server_json)
        VALUES (:nid, '$event', 1, 1, 1, 'm', '@a:test', 0, :json, :json)
        ON CONFLICT (event_nid) DO UPDATE SET client_json = excluded.client_json
        """,
        nid=NID,
        json=client_json,
    )
    await database.commit(unit)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by", ["nid", "id", "place"])
async def test_what_was_read_before_a_change_is_not_kept(
    database: Database, change: Change, by: str
) -> None:
    """Else it would be shown until it was read by nobody for long."""
    await write(database, b'{"content":{"is":"old"}}')
    reader = LateReader(database)
    store = EventStore(reader, ByteLRU(1_000_000))
    reader.meanwhile = lambda: change(store)

    if by == "nid":
        await store.by_nid(NID)
    elif by == "id":
        await store.find(1, EventId("$event"))
    else:
        await store.backwards(1, limit=1)
    await write(database, CHANGED)
    reader.meanwhile = lambda: None

    assert (await store.by_nid(NID)).content == {"is": "new"}
