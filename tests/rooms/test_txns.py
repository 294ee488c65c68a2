"""Which event a repeated request was answered with, when several come at one time."""

import asyncio
from dataclasses import dataclass, field
from typing import LiteralString

import pytest
from msgspec.structs import replace

from tremula.infra.db import Engine, Row
from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import DeviceId, EventId, UserId
from tremula.rooms import txns as txns_module
from tremula.rooms.events import Draft, TxnKey
from tremula.rooms.txns import SentTxns

ROOM_NID = 1
EVENT_ID = EventId("$event")
DRAFT = Draft(
    "m.room.message", UserId("@alice:test"), {}, txn=TxnKey(DeviceId("PHONE"), "1")
)


@dataclass(slots=True)
class SlowReader:
    """A database without events, which looks for one for as long as it is told to."""

    engine: Engine = Engine.POSTGRES
    has_looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def all(self, sql: LiteralString, /, **params: object) -> list[Row]:
        return []

    async def first(self, sql: LiteralString, /, **params: object) -> Row | None:
        await self.has_looked.wait()
        return None

    async def scan(self, sql: LiteralString, /, **params: object) -> list[Row]:
        return []


async def test_what_begins_while_a_repetition_looks_in_the_database_is_found() -> None:
    reader = SlowReader()
    txns = SentTxns(reader)
    assert await txns.find(ROOM_NID, DRAFT) is None
    # Other processes have written to the room meanwhile.
    txns.look_again()
    looking = asyncio.ensure_future(txns.find(ROOM_NID, DRAFT))
    await asyncio.sleep(0)
    unit = JournalUnit(lambda _: 1)
    txns.begin(unit, ROOM_NID, DRAFT, EVENT_ID)
    stored = unit.future = asyncio.get_running_loop().create_future()

    reader.has_looked.set()
    await asyncio.sleep(0)
    stored.set_result(None)

    assert await looking == EVENT_ID


async def test_what_is_on_its_way_is_not_forgotten_for_other_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The database would know nothing of it, and it would be sent twice."""
    monkeypatch.setattr(txns_module, "_DEVICES_MAX", 1)
    txns = SentTxns(SlowReader())
    assert await txns.find(ROOM_NID, DRAFT) is None
    unit = JournalUnit(lambda _: 1)
    txns.begin(unit, ROOM_NID, DRAFT, EVENT_ID)
    unit.future = asyncio.get_running_loop().create_future()
    unit.future.set_result(None)

    for device_id in ("TABLET", "WATCH"):
        other = TxnKey(DeviceId(device_id), "1")
        assert await txns.find(ROOM_NID, replace(DRAFT, txn=other)) is None

    assert await txns.find(ROOM_NID, DRAFT) == EVENT_ID
