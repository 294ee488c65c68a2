"""Several processes that are one server: Tremula's, and Synapse's workers."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg  # type: ignore[import-untyped]  # it ships no types

from bench.client import Addresses
from bench.processes import NATS, POSTGRES, REDIS, SERVER, Processes
from bench.servers import HOST, NotStarted, Program, Server, started, tremula
from bench.synapse import EventPersisters, synapse
from tests.nats_server import running_nats
from tests.postgres_server import PostgresServer, free_port
from tremula.infra.slots import slot_of

_PROCESSES: Final = 2
_HOLDER: Final = """
    SELECT m.address FROM infra_slots s JOIN infra_members m ON m.member = s.member
    WHERE s.slot = $1
"""


@dataclass(frozen=True, slots=True)
class LeaseTable:
    """Finds a room's process as the processes themselves do."""

    database_url: str
    urls: Mapping[int, str]
    """By process ID."""

    async def url_of(self, room_id: str) -> str:
        """See ``Holders``."""
        connection = await asyncpg.connect(self.database_url)
        try:
            address: str = await connection.fetchval(_HOLDER, slot_of(room_id))
        finally:
            await connection.close()
        return self.urls[int(address.rpartition(":")[2])]


@contextmanager
def tremula_cluster(
    name: str, folder: Path, postgres: PostgresServer
) -> Iterator[Server]:
    """Two processes over *postgres* and a NATS.

    Raises:
        NotStarted: one does not come up.
    """
    with ExitStack() as stack:
        nats = stack.enter_context(running_nats(folder))
        assert nats.process is not None
        programs = [
            tremula(name, _new(folder / f"{number}"), postgres, bus_url=nats.url)
            for number in range(_PROCESSES)
        ]
        pids, startup_s = _start(stack, programs)
        urls = [program.url for program in programs]
        yield Server(
            name,
            programs[0].server_name,
            Addresses(urls),
            Processes(
                {SERVER: pids, POSTGRES: (postgres.pid,), NATS: (nats.process.pid,)}
            ),
            startup_s,
            LeaseTable(postgres.url("postgres"), dict(zip(pids, urls, strict=True))),
        )


@contextmanager
def synapse_cluster(
    name: str, folder: Path, postgres: PostgresServer, venv: Path
) -> Iterator[Server]:
    """A main process and two event persisters, to whom messages are sent, with Redis.

    Raises:
        NotStarted: one does not come up, or there is no Redis.
    """
    with ExitStack() as stack:
        port = free_port()
        redis = stack.enter_context(_redis(port, folder))
        persisters = EventPersisters(port, _PROCESSES)
        main = synapse(name, venv, folder, postgres, persisters=persisters)
        workers = persisters.programs(main)
        pids, startup_s = _start(stack, [main, *workers])
        yield Server(
            name,
            main.server_name,
            Addresses([main.url], [worker.url for worker in workers]),
            Processes({SERVER: pids, POSTGRES: (postgres.pid,), REDIS: (redis.pid,)}),
            startup_s,
        )


def _start(
    stack: ExitStack, programs: Sequence[Program]
) -> tuple[Sequence[int], float]:
    """Their process IDs, and how long the last one took."""
    processes = [stack.enter_context(started(program)) for program in programs]
    return [pid for pid, _ in processes], processes[-1][1]


@contextmanager
def _redis(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = shutil.which("redis-server")
    if program is None:
        raise NotStarted("Synapse's workers need redis-server")
    command = (program, "--port", str(port), "--bind", HOST, "--save", "")
    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
