"""Runs scenarios on servers that it starts, one scenario at a time."""

import gc
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import aiohttp
import uvloop

from bench.client import WrongAnswer, connected
from bench.processes import machine_cpu_s
from bench.results import Report, Result, this_machine
from bench.scenarios.subject import Metrics, Scenario, Subject
from bench.servers import Server, running, tremula
from bench.synapse import synapse
from tests.postgres_server import PostgresServer, running_postgres

ENGINES: Final = ("sqlite", "postgres")

# As `initdb` leaves it: with fsync.
_POSTGRES_DEFAULTS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run; databases go below ``folder``, None the system's own."""

    scenarios: Mapping[str, Scenario]
    engines: Sequence[str]
    synapse_venv: Path | None
    rounds: int
    folder: Path | None
    file: Path
    command: str


def run(plan: Plan) -> Report:
    """Do all of *plan*; the file is written anew after each scenario.

    Raises:
        NotStarted: a server does not come up.
    """
    _allow_many_connections()
    report = Report(
        command=plan.command,
        began=time.strftime("%Y-%m-%d", time.gmtime()),
        machine=this_machine(plan.folder),
        servers=[],
    )
    for number in range(plan.rounds):
        with _servers(plan) as servers:
            report.servers = [server.name for server in servers]
            uvloop.run(_measure(plan, servers, report, first=number % 2))
    return report


@contextmanager
def _servers(plan: Plan) -> Iterator[list[Server]]:
    """All servers, new in each round; those that nobody asks cost next to nothing."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(_server(plan, engine, synapse_venv=venv))
            for venv in ([None, plan.synapse_venv] if plan.synapse_venv else [None])
            for engine in plan.engines
        ]
        yield servers


@contextmanager
def _server(plan: Plan, engine: str, *, synapse_venv: Path | None) -> Iterator[Server]:
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="tremula-bench-", dir=plan.folder)
            )
        )
        postgres: PostgresServer | None = None
        if engine == "postgres":
            postgres = stack.enter_context(
                running_postgres(_POSTGRES_DEFAULTS, parent=plan.folder)
            )
        program = (
            synapse(synapse_venv, folder, postgres)
            if synapse_venv
            else tremula(folder, postgres)
        )
        _say(f"starting {program.name}")
        yield stack.enter_context(running(program, postgres))


async def _measure(
    plan: Plan, servers: Sequence[Server], report: Report, *, first: int
) -> None:
    async with AsyncExitStack() as stack:
        subjects = [
            Subject(server, await stack.enter_async_context(connected(server.url)))
            for server in servers
        ]
        for number, (name, scenario) in enumerate(plan.scenarios.items(), first):
            # Not always the same server goes first.
            for subject in subjects if number % 2 == 0 else reversed(subjects):
                report.results.append(await _result(name, scenario, subject))
                report.save(plan.file)


async def _result(name: str, scenario: Scenario, subject: Subject) -> Result:
    metrics: Metrics = {}
    error = None
    busy_s, began_s = _other_busy_s(subject), time.perf_counter()
    # The load generator's own pauses stay out of the latencies.
    gc.collect()
    gc.disable()
    try:
        metrics = await scenario.run(subject)
    except* (WrongAnswer, aiohttp.ClientError, TimeoutError) as group:
        error = _first_message(group)
    finally:
        gc.enable()
    took_s = time.perf_counter() - began_s
    other_cores = (_other_busy_s(subject) - busy_s) / took_s
    _say(f"{subject.server.name}: {name}, {took_s:.0f} s, {error or 'done'}")
    return Result(
        server=subject.server.name,
        scenario=name,
        sizes=asdict(scenario),
        metrics=metrics,
        other_load_cores=round(max(0.0, other_cores), 2),
        error=error,
    )


def _other_busy_s(subject: Subject) -> float:
    own_s = time.process_time() + sum(subject.processes.cpu_s().values())
    return machine_cpu_s() - own_s


def _first_message(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _allow_many_connections() -> None:
    """For us and, as they inherit it, for the servers."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
