"""Runs scenarios on servers that it starts, one scenario at a time."""

import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench.client import connected
from bench.outcome import outcome, say
from bench.processes import quiet
from bench.results import Report, new_report
from bench.scenarios.subject import Scenario, Subject
from bench.servers import Server
from bench.starting import Kind, new_server


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run; databases go below ``folder``, None the system's own.

    Before each scenario its server has done nothing for ``quiet_s``.
    """

    scenarios: Mapping[str, Scenario]
    engines: Sequence[str]
    synapse_venv: Path | None
    rounds: int
    quiet_s: float
    folder: Path | None
    file: Path
    command: str


def run(plan: Plan) -> Report:
    """Do all of *plan*; the file is written anew after each scenario.

    Raises:
        NotStarted: a server does not come up.
    """
    _allow_many_connections()
    report = new_report(plan.command, [], plan.folder)
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
            stack.enter_context(new_server(Kind(engine, venv), plan.folder))
            for venv in ([None, plan.synapse_venv] if plan.synapse_venv else [None])
            for engine in plan.engines
        ]
        yield servers


async def _measure(
    plan: Plan, servers: Sequence[Server], report: Report, *, first: int
) -> None:
    async with AsyncExitStack() as stack:
        subjects = [
            Subject(
                server, await stack.enter_async_context(connected(server.addresses))
            )
            for server in servers
        ]
        for number, (name, scenario) in enumerate(plan.scenarios.items(), first):
            # Not always the same server goes first.
            for subject in subjects if number % 2 == 0 else reversed(subjects):
                if not await quiet(subject.processes, for_s=plan.quiet_s):
                    say(f"{subject.server.name}: still busy before {name}")
                result = await outcome(
                    subject.server.name,
                    name,
                    asdict(scenario),
                    subject.processes,
                    scenario.run(subject),
                )
                report.results.append(result)
                report.save(plan.file)


def _allow_many_connections() -> None:
    """For us and, as they inherit it, for the servers."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
