"""A transaction may come to any process, and again to another: one takes it in."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.conftest import DatabaseSource
from tests.fakes.slots import HeldSlots, SharedSlots
from tests.rooms.federation.remote import REMOTE
from tests.rooms.federation.servers import Engine, running_engine
from tremula.features.federation_transactions.edus import InboundEdus
from tremula.features.federation_transactions.inbound_metrics import InboundMetrics
from tremula.features.federation_transactions.pdus import InboundPdus
from tremula.features.federation_transactions.service import Transactions
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.server_keys import KnownKeys
from tremula.rooms.verification import EventVerifier


class NoKeys:
    """Nobody's keys are known."""

    async def verify_keys(self, needs: object) -> KnownKeys:
        return {}


async def withdraw_nothing(
    origin: ServerName, room_id: RoomId, pdu: Mapping[str, Any]
) -> EventId | None:
    return None


@dataclass(slots=True)
class Process:
    """One process, and the EDUs that it takes in while it ``may_go_on``."""

    engine: Engine
    slots: HeldSlots
    taken: list[object] = field(default_factory=list)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)
    transactions: Transactions = field(init=False)

    def __post_init__(self) -> None:
        metrics = InboundMetrics.registered(CollectorRegistry())
        engine = self.engine
        pdus = InboundPdus(
            engine.name,
            engine.reader,
            EventVerifier(NoKeys()),
            engine.rooms,
            withdraw_nothing,
            metrics,
        )
        edus = InboundEdus({"m.x": self}, metrics)
        self.transactions = Transactions(pdus, edus, self.slots)
        self.may_go_on.set()

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        self.taken.append(content["e"])
        await self.may_go_on.wait()

    async def put(self, txn_id: str, *contents: dict[str, Any]) -> object:
        edus = [{"edu_type": "m.x", "content": each} for each in contents]
        return await self.transactions.receive(REMOTE, txn_id, [], edus)


@pytest.fixture
async def processes(
    database_source: DatabaseSource,
) -> AsyncIterator[tuple[Process, Process]]:
    """The first one takes in what the other server sends."""
    async with running_engine("test", database_source) as engine:
        slots = SharedSlots()
        one, other = (Process(engine, slots.process()) for _ in range(2))
        slots.give(one.slots)
        yield one, other


async def test_a_repetition_at_another_process_gets_the_answer_of_the_first_time(
    processes: tuple[Process, Process],
) -> None:
    one, other = processes

    assert await other.put("t1", {"e": 1}) == {"pdus": {}}
    assert await one.put("t1", {"e": 1}) == {"pdus": {}}
    assert await other.put("t2", {"e": 2}) == {"pdus": {}}

    assert (one.taken, other.taken) == ([1, 2], [])


async def test_a_repetition_of_what_is_under_way_waits_for_it(
    processes: tuple[Process, Process],
) -> None:
    one, other = processes
    one.may_go_on.clear()
    first = asyncio.ensure_future(one.put("t1", {"e": 1}))
    again = asyncio.ensure_future(other.put("t1", {"e": 1}))
    one.may_go_on.set()

    assert await first == await again
    assert one.taken == [1]


async def test_what_cannot_travel_costs_nothing_else(
    processes: tuple[Process, Process],
) -> None:
    one, other = processes

    await other.put("t1", {"e": 2**70}, {"e": 1}, {"e": "\ud800"})

    assert one.taken == [1]
