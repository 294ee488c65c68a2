"""The state of a room is completed where its slot is held."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.slots import HeldSlots, SharedSlots
from tests.rooms.federation.servers import Engine, Network, join_event, tell_room
from tremula.features.federation_handshakes.state_completion import StateCompletion
from tremula.infra.metrics import Metrics
from tremula.infra.supervisor import Supervisor
from tremula.protocol.identifiers import RoomId
from tremula.rooms.partial import COMPLETED_TOPIC

PATIENCE_S = 10


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
async def engine(network: Network, tmp_path: Path) -> AsyncIterator[Engine]:
    async with network.running(tmp_path, "a", "b") as engines:
        yield engines[1]


@pytest.fixture
async def room_id(network: Network, engine: Engine) -> RoomId:
    """A room of the other server's that was joined without its members."""
    resident = network.engines["a"]
    room_id = await resident.create("10", resident.user("alice"))
    pdu = await join_event(room_id, engine.user("bob"), engine, resident)
    await resident.receive(room_id, pdu, origin="b")
    told = await tell_room(room_id, pdu, resident)
    await engine.rooms.adopt(
        told.version,
        room_id,
        state=[each for each in told.state if each.event.type != "m.room.member"],
        auth_chain=told.auth_chain,
        join_event=told.join_event,
        servers=[resident.name],
    )
    assert (await engine.view(room_id)).partial is not None
    network.asked.clear()
    return room_id


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(Metrics())
    yield supervisor
    await supervisor.stop()


@pytest.fixture
def completed(engine: Engine) -> asyncio.Event:
    completed = asyncio.Event()
    engine.journal.subscribe(COMPLETED_TOPIC, lambda *_: completed.set())
    return completed


def completion(
    engine: Engine, supervisor: Supervisor, slots: HeldSlots
) -> StateCompletion:
    return StateCompletion(engine.rooms, engine.reader, supervisor, slots, engine.name)


async def test_another_process_has_the_holder_complete_it(
    engine: Engine, room_id: RoomId, supervisor: Supervisor, completed: asyncio.Event
) -> None:
    slots = SharedSlots()
    holder, other = slots.process(), slots.process()
    slots.give(holder)
    completion(engine, supervisor, holder)

    await completion(engine, supervisor, other).begin(room_id)

    await asyncio.wait_for(completed.wait(), PATIENCE_S)
    assert (await engine.view(room_id)).partial is None


async def test_who_takes_over_goes_on(
    network: Network,
    engine: Engine,
    room_id: RoomId,
    supervisor: Supervisor,
    completed: asyncio.Event,
) -> None:
    slots = SharedSlots()
    crashed, other = slots.process(), slots.process()
    slots.give(crashed)
    slots.crash(crashed)

    slots.give(other, room_id)
    await completion(engine, supervisor, other).resume()

    await asyncio.wait_for(completed.wait(), PATIENCE_S)
    assert {asked for asked, _ in network.asked} == {"a"}
