"""Leases under crashes, pauses, partitions and restarts of the database: every seed.

What is held here for thousands of orders of events: no two members ever take commands
for one slot; whoever commits holds the newest epoch; after the last fault every slot is
held by the member that should hold it, within seconds; and no slot moves without need.
"""

from collections.abc import Callable

import pytest

from tests.infra.cluster.simulation import SLOTS, Process, Simulation
from tremula.infra.cluster.members import HEARTBEAT_S, LEASE_MS, STEADY_BEATS
from tremula.infra.slots import SlotLease

SEEDS = 1_500
TAKEN_OVER_S = LEASE_MS / 1000 + 2 * HEARTBEAT_S
# Lost calls are repeated, each after its time-out.
SETTLED_S = TAKEN_OVER_S + STEADY_BEATS * HEARTBEAT_S + 6


class Observer:
    """Sees everything, and refuses what must never happen."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._committed: dict[int, int] = {}
        self._authors: dict[SlotLease, str] = {}

    def check(self) -> None:
        believers: dict[int, str] = {}
        for process in self._simulation.living:
            for slot in process.believed():
                other = believers.setdefault(slot, process.name)
                assert other == process.name, (
                    f"{slot} is {other}'s and {process.name}'s"
                )

    def commit(self, process: Process, lease: SlotLease) -> None:
        """A commit under *lease*, which was had some time ago, reaches the database."""
        if not self._simulation.table.can_commit(process.name, lease):
            return
        assert self._committed.get(lease.slot, 0) <= lease.epoch
        assert self._authors.setdefault(lease, process.name) == process.name
        self._committed[lease.slot] = lease.epoch


def work(simulation: Simulation, observer: Observer) -> None:
    """A command of a random slot by a random process, whose commit comes later."""
    process = simulation.random.choice(simulation.processes)
    slot = simulation.random.randrange(SLOTS)
    lease = process.tenure.lease(slot)
    if lease is not None and slot in process.believed():
        takes_s = simulation.random.expovariate(2)
        process.busy_until_s[slot] = simulation.now_s + takes_s
        simulation.later(takes_s, lambda: observer.commit(process, lease))


def crash(simulation: Simulation, process: Process) -> None:
    process.is_dead = True


def pause(simulation: Simulation, process: Process) -> None:
    process.is_paused = True
    simulation.later(simulation.random.uniform(0.1, 12), process.resume)


def cut_off(simulation: Simulation, process: Process) -> None:
    def heal() -> None:
        process.is_cut_off = False

    process.is_cut_off = True
    simulation.later(simulation.random.uniform(0.1, 12), heal)


def leave(simulation: Simulation, process: Process) -> None:
    process.is_leaving = True
    simulation.table.announce_leaving(process.name)


def lose_database(simulation: Simulation, process: Process) -> None:
    def back() -> None:
        simulation.is_database_down = False

    simulation.is_database_down = True
    simulation.later(simulation.random.uniform(0.1, 12), back)


def join(simulation: Simulation, process: Process) -> None:
    simulation.start()


FAULTS: list[Callable[[Simulation, Process], None]] = [
    *(crash, pause, cut_off, leave, lose_database, join, join)
]


@pytest.mark.parametrize("block", range(3))
def test_no_slot_has_two_holders_and_every_slot_gets_one(block: int) -> None:
    for seed in range(block * SEEDS // 3, (block + 1) * SEEDS // 3):
        simulation = Simulation(seed)
        observer = Observer(simulation)
        for _ in range(3):
            simulation.start()
        for _ in range(6):
            for _ in range(4):
                until_s = simulation.now_s + simulation.random.expovariate(1.5)
                simulation.run(until_s, observer.check)
                work(simulation, observer)
            if simulation.living:
                fault = simulation.random.choice(FAULTS)
                fault(simulation, simulation.random.choice(simulation.living))
        # Whoever still stalls or is cut off comes back, or is dead; then all is well.
        simulation.start()
        simulation.run(simulation.now_s + 12, observer.check)
        simulation.loss = 0
        simulation.run(simulation.now_s + SETTLED_S, observer.check)
        assert simulation.is_settled(), f"seed {seed}"


def settled(seed: int, members: int) -> Simulation:
    simulation = Simulation(seed)
    simulation.loss = 0
    for _ in range(members):
        simulation.start()
    simulation.run(SETTLED_S, lambda: None)
    assert simulation.is_settled(), f"seed {seed}"
    return simulation


def test_only_the_slots_of_who_crashed_move() -> None:
    for seed in range(200):
        simulation = settled(seed, 4)
        victim = simulation.random.choice(simulation.living)
        orphans = sum(each.member == victim.name for each in simulation.table.holdings)
        before = simulation.table.moves
        victim.is_dead = True

        simulation.run(simulation.now_s + SETTLED_S, lambda: None)

        assert simulation.is_settled()
        assert simulation.table.moves - before == orphans


def test_who_comes_takes_only_what_it_keeps() -> None:
    for seed in range(200):
        simulation = settled(seed, 3)
        before = simulation.table.moves

        newcomer = simulation.start()
        simulation.run(simulation.now_s + SETTLED_S, lambda: None)

        held = sum(each.member == newcomer.name for each in simulation.table.holdings)
        assert simulation.is_settled()
        assert simulation.table.moves - before == held


def test_a_database_that_was_away_moves_nothing() -> None:
    """Everybody is late then; nobody takes the others for dead."""
    for seed in range(200):
        simulation = settled(seed, 4)
        before = simulation.table.moves
        simulation.is_database_down = True
        simulation.run(simulation.now_s + 20, lambda: None)
        simulation.is_database_down = False
        simulation.run(simulation.now_s + SETTLED_S, lambda: None)

        assert simulation.is_settled()
        assert simulation.table.moves == before
