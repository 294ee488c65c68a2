"""Servers that say things at once, cut off from each other at times: all come to hold
the same state. No network, and no randomness but that of a seed.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.rooms.federation.servers import Engine, Network, Pdu
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import EventId, RoomId, UserId, server_of
from tremula.protocol.room_state import StateKey
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.rooms.events import Draft

NAMES = ("a.example", "b.example", "c.example", "d.example")
VERSIONS = ("1", "2", "6", "10", "11", "12")
# The test's name says which seed it ran with.
STEPS = int(os.environ.get("SIMULATION_STEPS", "150"))
SEEDS = [int(each) for each in os.environ.get("SIMULATION_SEEDS", "1,2").split(",")]

State = Mapping[StateKey, EventId]


@dataclass(slots=True)
class Simulation:
    """One room on all servers, and events on their way."""

    random: Random
    network: Network
    engines: list[Engine]
    room_id: RoomId
    version: str
    users: list[tuple[Engine, UserId]] = field(default_factory=list)
    # (from, to, event), in no order that holds.
    under_way: list[tuple[str, str, Pdu]] = field(default_factory=list)

    async def step(self) -> None:
        """Something happens, somewhere."""
        action: Callable[[], Awaitable[None]] = self.random.choices(
            [self.say, self.deliver, self.cut, self.heal], [6, 8, 1, 1]
        )[0]
        await action()

    async def say(self) -> None:
        engine, user = self.random.choice(self.users)
        await self.send(engine, self.draft(user))

    async def send(self, engine: Engine, draft: Draft) -> None:
        try:
            event_id = await engine.append(self.room_id, draft)
        except Forbidden:
            return
        await self.publish(engine, event_id)

    async def publish(self, engine: Engine, event_id: EventId) -> None:
        pdu = await engine.pdu(self.room_id, event_id)
        self.under_way += [
            (engine.name, other.name, pdu)
            for other in self.engines
            if other is not engine
        ]

    def draft(self, user: UserId) -> Draft:
        other = self.random.choice(self.users)[1]
        number = self.random.randrange(10**6)
        levels = {
            each: self.random.choice([0, 50, 50, 75])
            for _, each in self.users[1:]
            if self.random.random() < 0.7
        }
        if not ROOM_VERSIONS[self.version].privileged_creators:
            levels[self.users[0][1]] = 100
        return self.random.choice(
            [
                Draft("m.room.message", user, {"body": f"{number}"}),
                Draft("m.room.message", user, {"body": f"{number}"}),
                Draft("m.room.topic", user, {"topic": f"{number}"}, ""),
                Draft("m.room.name", user, {"name": f"{number}"}, ""),
                Draft("org.example.own", user, {"n": number}, f"{number % 3}"),
                Draft("m.room.power_levels", user, {"users": levels}, ""),
                Draft("m.room.member", user, {"membership": "join"}, user),
                Draft("m.room.member", user, {"membership": "leave"}, user),
                Draft("m.room.member", user, {"membership": "join"}, user),
                Draft("m.room.member", user, {"membership": "ban"}, other),
                Draft("m.room.member", user, {"membership": "leave"}, other),
                Draft("m.room.member", user, {"membership": "leave"}, other),
                Draft("m.room.member", user, {"membership": "invite"}, other),
            ]
        )

    async def deliver(self) -> None:
        """Some of what is under way arrives, in any order."""
        if not self.under_way:
            return
        origin, target, _ = self.random.choice(self.under_way)
        if not self.network.connects(origin, target):
            return
        batch = [
            each
            for each in self.under_way
            if each[:2] == (origin, target) and self.random.random() < 0.6
        ]
        self.random.shuffle(batch)
        await self.arrive(origin, target, [pdu for _, _, pdu in batch])
        self.under_way = [each for each in self.under_way if each not in batch]

    async def arrive(self, origin: str, target: str, pdus: list[Pdu]) -> None:
        engine = self.network.engines[target]
        receipts = await engine.receive(self.room_id, *pdus, origin=origin)
        for receipt, pdu in zip(receipts, pdus, strict=True):
            if receipt.standing is None:
                # Could not be taken in as yet: comes again.
                self.under_way.append((origin, target, pdu))

    async def cut(self) -> None:
        pair = self.random.sample([each.name for each in self.engines], 2)
        self.network.cuts.add(frozenset(pair))

    async def heal(self) -> None:
        if self.network.cuts:
            self.network.cuts.discard(
                self.random.choice(sorted(self.network.cuts, key=sorted))
            )

    async def finish(self) -> None:
        """All is delivered; then all are let in again, and everybody says something."""
        self.network.cuts.clear()
        for _ in range(20):
            await self.deliver_all()
        assert not self.under_way
        for _ in range(2):
            for engine, user in self.users:
                for draft in self.reconciling(user):
                    await self.send(engine, draft)
                    await self.deliver_all()

    def reconciling(self, user: UserId) -> list[Draft]:
        """What lets everybody take part again."""
        creator = self.users[0][1]
        drafts = [Draft("m.room.member", user, {"membership": "join"}, user)]
        if user == creator:
            drafts += [
                Draft("m.room.member", creator, {"membership": "leave"}, other)
                for _, other in self.users[1:]
            ]
        return [*drafts, Draft("m.room.message", user, {"body": "Hello again!"})]

    async def deliver_all(self) -> None:
        batch, self.under_way = self.under_way, []
        self.random.shuffle(batch)
        for origin, target, pdu in batch:
            await self.arrive(origin, target, [pdu])

    async def states_by_extremities(self) -> dict[frozenset[EventId], list[State]]:
        """The current states of the servers, by what they would name as previous."""
        found: dict[frozenset[EventId], list[State]] = {}
        for engine in self.engines:
            room = await engine.registry.find(self.room_id)
            assert room is not None
            ends = frozenset(each.event_id for each in room.head.extremities)
            found.setdefault(ends, []).append(await engine.state(self.room_id))
        return found

    async def states_before(self, engine: Engine) -> dict[EventId, State]:
        """The state before each event whose state the engine knows, by event IDs."""
        view = await engine.view(self.room_id)
        rows = await engine.database.all("SELECT event_id FROM rooms_events")
        found: dict[EventId, State] = {}
        for (event_id,) in rows:
            node = await engine.past.find(view, event_id)
            state = await engine.past.state_before(view, node) if node else None
            if state is not None:
                ids = await engine.past.ids(state.values())
                found[event_id] = {key: ids[nid] for key, nid in state.items()}
        return found


@asynccontextmanager
async def simulation(
    folder: Path, version: str, seed: int
) -> AsyncIterator[Simulation]:
    """A room that one user of each server has joined."""
    network = Network()
    async with network.running(folder, *NAMES) as engines:
        first = engines[0]
        creator = first.user("creator")
        room_id = await first.create(version, creator)
        random = Random(seed)  # noqa: S311 - repeatable
        started = Simulation(random, network, engines, room_id, version)
        started.users.append((first, creator))
        for engine in engines[1:]:
            user = engine.user("user")
            await network.join(room_id, user, at=engine.name, over=first.name)
            join = await engine.pdu(
                room_id, (await engine.state(room_id))["m.room.member", user]
            )
            for _, other in started.users[1:]:
                await network.engines[server_of(other)].receive(
                    room_id, join, origin=first.name
                )
            started.users.append((engine, user))
        yield started


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("version", VERSIONS)
async def test_all_servers_come_to_the_same_state(
    tmp_path: Path, version: str, seed: int
) -> None:
    """The state before each event is the same for all, and so is the current one."""
    async with simulation(tmp_path, version, seed) as simulated:
        for _ in range(STEPS):
            await simulated.step()
        await simulated.finish()

        engines = simulated.engines
        first, *others = [await simulated.states_before(each) for each in engines]
        for other in others:
            for event_id in first.keys() & other.keys():
                assert other[event_id] == first[event_id]
        by_extremities = await simulated.states_by_extremities()
        # A server whose user may not speak can be left with an event that the others
        # have soft-failed, and so name in none of theirs.
        assert len(by_extremities) < len(engines)
        for states in by_extremities.values():
            assert states[1:] == states[:-1]
        for engine in engines:
            await assert_loads_as_it_is(engine, simulated.room_id)


async def assert_loads_as_it_is(engine: Engine, room_id: RoomId) -> None:
    """What is in memory is what the database holds."""
    before = await engine.registry.find(room_id)
    assert before is not None
    engine.registry.discard(before)
    after = await engine.registry.find(room_id)
    assert after is not None
    assert after is not before
    assert set(after.head.extremities) == set(before.head.extremities)
    assert after.head.room_pos == before.head.room_pos
    assert after.head.is_recorded == before.head.is_recorded
    for state in (after.head.state, before.view.state):
        assert {e.event_nid: e for e in state.values()} == {
            e.event_nid: e for e in before.head.state.values()
        }
