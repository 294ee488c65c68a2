"""A process that is cut off, by the network itself, from bus, database, or both."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from aiohttp import ClientError, ClientSession

from tests.cluster.balancer import Balancer, balancing
from tests.cluster.crowd import gather_crowd
from tests.cluster.members import Members
from tests.cluster.wires import Net, Place, Wires, why_not, wired
from tests.crash.person import Person
from tests.homeserver import Homeserver
from tests.nats_server import NatsServer
from tests.postgres_server import FAST_AND_UNSAFE, PostgresServer, running_postgres
from tremula.infra.config import PostgresUrl

pytestmark = pytest.mark.cluster

PROCESSES: Final = 3
# Five, and what a busy machine takes.
WRITES_BACK_S: Final = 7.0
# Who has lost the bus alone has to find out by itself: PostgreSQL still sees it alive.
WITHOUT_BUS_S: Final = 10.0
# So long a client waits for who cannot answer.
UNANSWERED_S: Final = 12.0
BACK_S: Final = 30.0
# Processes listen where others than this machine might be.
OPEN: Final = (
    *("env", "TREMULA_REGISTRATION__MODE=open"),
    "TREMULA_REGISTRATION__ALLOW_OPEN_TO_THE_WORLD=true",
)


@pytest.fixture
def wires() -> Iterator[Wires]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with wired(PROCESSES) as wires:
        yield wires


@pytest.fixture
def postgres(wires: Wires) -> Iterator[PostgresServer]:
    address = wires.own_address(Net.DATABASE)
    settings = {"max_connections": "200", "listen_addresses": f"127.0.0.1,{address}"}
    with running_postgres(FAST_AND_UNSAFE | settings) as server:
        with (server.folder / "data/pg_hba.conf").open("a") as file:
            file.write(f"host all all {address}/24 trust\n")
        server.stop()
        server.start()
        yield server


@pytest.fixture
def nats(wires: Wires, tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path, host=wires.own_address(Net.BUS))
    server.start()
    yield server
    server.stop()


@dataclass(frozen=True, slots=True)
class Wired:
    """A process, and where it is."""

    homeserver: Homeserver
    place: Place


@pytest.fixture
async def wired_members(
    wires: Wires, postgres: PostgresServer, nats: NatsServer, tmp_path: Path
) -> AsyncIterator[tuple[Members, list[Wired]]]:
    host = wires.own_address(Net.DATABASE)
    source = PostgresUrl(postgres.url("postgres").replace("127.0.0.1", host))
    members, placed = Members(tmp_path, source, nats.url), list[Wired]()
    try:
        for place in wires.places:
            homeserver = Homeserver(
                tmp_path / place.name,
                source,
                nats.url,
                prefix=place.command(*OPEN),
                host=place.address(Net.CLIENTS),
            )
            members.homeservers.append(homeserver)
            await homeserver.start()
            placed.append(Wired(homeserver, place))
        yield members, placed
        await members.stop()
    finally:
        await members.clean_up()


@pytest.fixture
async def balancer(
    session: ClientSession, wired_members: tuple[Members, list[Wired]]
) -> AsyncIterator[Balancer]:
    async with balancing(session, wired_members[0]) as balancer:
        yield balancer


@pytest.mark.parametrize(
    ("nets", "most_s"),
    [
        ((Net.BUS,), WITHOUT_BUS_S),
        ((Net.DATABASE,), WRITES_BACK_S),
        ((Net.DATABASE, Net.BUS), WRITES_BACK_S),
    ],
    ids=["from the bus", "from the database", "from both"],
)
async def test_who_is_cut_off_harms_nobody(
    nets: tuple[Net, ...],
    most_s: float,
    wired_members: tuple[Members, list[Wired]],
    balancer: Balancer,
    dice: random.Random,
) -> None:
    members, placed = wired_members
    crowd = await gather_crowd(members, balancer, dice)
    victim = dice.choice(placed)
    anybody, room_id = crowd.people[0], crowd.senders[0].room_id
    at_victim = Person(
        balancer.session, victim.homeserver.url, anybody.user_id, anybody.token
    )

    async with asyncio.TaskGroup() as group:
        with crowd.busy(group):
            await crowd.writes_back_s(time.monotonic())
            victim.place.cut(*nets)
            cut_s = time.monotonic()
            back_s = await crowd.writes_back_s(cut_s)
            is_acknowledged = await is_sent(at_victim, room_id)
            victim.place.mend(*nets)
            await until_ready(members, balancer, victim.homeserver)
            mended_s = time.monotonic()
            again_s = await crowd.writes_back_s(mended_s)

    sys.stdout.write(f"writes were back after {back_s:.1f} s, {again_s:.1f} s\n")
    assert not is_acknowledged
    # Nor was it stored unacknowledged: the rooms have what was acknowledged, no more.
    await crowd.check()
    assert back_s <= most_s


async def is_sent(person: Person, room_id: str) -> bool:
    """Whether a message is acknowledged by who cannot store it."""
    with suppress(ClientError, TimeoutError, AssertionError):
        async with asyncio.timeout(UNANSWERED_S):
            await person.send(room_id, txn_id="cut off", body="cut off")
            return True
    return False


async def until_ready(
    members: Members, balancer: Balancer, homeserver: Homeserver
) -> None:
    """Wait until requests go there again, started again if it had ended."""
    async with asyncio.timeout(BACK_S):
        while homeserver not in balancer.ready:
            await members.restart_ended()
            await balancer.checked()
