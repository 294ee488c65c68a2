"""Runs the benchmarks of federation, one after the other."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench.federation.network import Network, new_network
from bench.federation.sizes import Sizes
from bench.outcome import outcome
from bench.processes import Processes
from bench.results import Report, Result, new_report
from bench.starting import Kind, new_folder, new_postgres
from tremula.infra.config import PostgresUrl, SqliteFile

# Of what runs in this process: its own is known anyway.
_NONE: Final = Processes({})


@dataclass(frozen=True, slots=True)
class FederationPlan:
    """What is to be run; databases go below ``folder``, None the system's own."""

    sizes: Sizes
    parts: Sequence[str]
    engines: Sequence[str]
    synapse_venv: Path | None
    folder: Path | None
    file: Path
    command: str

    @property
    def servers(self) -> list[str]:
        """What all of them are called."""
        kinds = (kind for engine in self.engines for kind in self.kinds(engine))
        # Tremula on all engines comes first.
        return [kind.name for kind in sorted(kinds, key=lambda kind: kind.is_synapse)]

    def kinds(self, engine: str) -> list[Kind]:
        """The servers that are compared on one engine."""
        with_synapse = [Kind(engine, self.synapse_venv)] if self.synapse_venv else []
        return [Kind(engine), *with_synapse]


async def run_federation(plan: FederationPlan) -> Report:
    """Do all of *plan*; the file is written anew after each result.

    Raises:
        NotStarted: a server does not come up.
    """
    report = new_report(plan.command, plan.servers, plan.folder)
    for part in plan.parts:
        async for result in PARTS[part](plan):
            report.results.append(result)
            report.save(plan.file)
    return report


async def _inbound(plan: FederationPlan) -> AsyncIterator[Result]:
    """Each server is sent the same, by the same sender."""
    async with new_network(plan.folder) as network:
        for kind in (kind for engine in plan.engines for kind in plan.kinds(engine)):
            async with network.running(kind) as subject:
                for name, scenario in plan.sizes.inbound.items():
                    yield await outcome(
                        subject.server.name,
                        name,
                        asdict(scenario),
                        subject.processes,
                        scenario.run(subject, network.handwritten),
                    )


async def _joins(plan: FederationPlan) -> AsyncIterator[Result]:
    """Each server joins a room with the help of the one that is written by hand, and
    then helps a fresh one of each kind to join it.
    """
    async with new_network(plan.folder) as network:
        for kind in (kind for engine in plan.engines for kind in plan.kinds(engine)):
            async for result in _joins_around(plan, network, kind):
                yield result


async def _joins_around(
    plan: FederationPlan, network: Network, kind: Kind
) -> AsyncIterator[Result]:
    scenario = plan.sizes.join
    room = network.handwritten.host(members=scenario.members)
    # All stay to the end: whoever joins later asks each for its key.
    async with AsyncExitStack() as stack:
        resident = await stack.enter_async_context(network.running(kind))
        yield await outcome(
            resident.server.name,
            "join_handwritten",
            asdict(scenario),
            resident.processes,
            scenario.run(resident, room, network.handwritten.name),
        )
        for joiner_kind in plan.kinds(kind.engine):
            joiner = await stack.enter_async_context(network.running(joiner_kind))
            yield await outcome(
                joiner.server.name,
                f"join_{kind.program.lower()}",
                asdict(scenario),
                joiner.processes,
                scenario.run(joiner, room, resident.server.server_name),
            )


async def _storage(plan: FederationPlan) -> AsyncIterator[Result]:
    """Only Tremula's room engine, in this process."""
    for engine in plan.engines:
        for name, scenario in plan.sizes.storage.items():
            with _new_database(engine, plan.folder) as source:
                yield await outcome(
                    Kind(engine).name,
                    name,
                    asdict(scenario),
                    _NONE,
                    scenario.run(source),
                )


async def _resolution(plan: FederationPlan) -> AsyncIterator[Result]:
    """Without a server and a database: what is Tremula's stands with its first."""
    scenario = plan.sizes.resolution
    yield await outcome(
        Kind(plan.engines[0]).name,
        "resolution",
        asdict(scenario),
        _NONE,
        scenario.run(),
    )


PARTS: Final[Mapping[str, Callable[[FederationPlan], AsyncIterator[Result]]]] = {
    "inbound": _inbound,
    "joins": _joins,
    "storage": _storage,
    "resolution": _resolution,
}


@contextmanager
def _new_database(
    engine: str, folder: Path | None
) -> Iterator[SqliteFile | PostgresUrl]:
    if engine == "postgres":
        with new_postgres(folder) as postgres:
            yield PostgresUrl(postgres.url("postgres"))
    else:
        with new_folder(folder) as new:
            yield SqliteFile(new / "tremula.db")
