"""New servers on new databases, in folders that go with them."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.cluster import synapse_cluster, tremula_cluster
from bench.outcome import say
from bench.servers import STARTS, FederationAddress, Server, running, tremula
from bench.synapse import synapse
from tests.postgres_server import PostgresServer, running_postgres

CLUSTER: Final = "cluster"
ENGINES: Final = {
    "sqlite": "SQLite",
    "postgres": "PostgreSQL",
    CLUSTER: "two processes",
}
ALONE: Final = ("sqlite", "postgres")
"""The engines of a server that is one process."""

# As `initdb` leaves it: with fsync.
_POSTGRES_DEFAULTS: Final[dict[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Kind:
    """Which server on which engine; Tremula unless it is Synapse's environment."""

    engine: str
    synapse_venv: Path | None = None

    @property
    def is_synapse(self) -> bool:
        """Whether it is there to be compared with."""
        return self.synapse_venv is not None

    @property
    def program(self) -> str:
        """Which of the two it is."""
        return "Synapse" if self.is_synapse else "Tremula"

    @property
    def name(self) -> str:
        """What it is called in tables."""
        engine = ENGINES[self.engine]
        if self.is_synapse and self.engine == CLUSTER:
            engine = "two event persisters"
        return f"{self.program}, {engine}"


@contextmanager
def new_server(
    kind: Kind,
    parent: Path | None,
    federation: FederationAddress | None = None,
    *,
    starts: int = STARTS,
) -> Iterator[Server]:
    """A server with its data below *parent*, started some times before (see `running`).

    Raises:
        NotStarted: it does not come up.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(new_folder(parent))
        postgres: PostgresServer | None = None
        if kind.engine != "sqlite":
            postgres = stack.enter_context(new_postgres(parent))
        say(f"starting {kind.name}")
        if kind.engine == CLUSTER:
            assert postgres is not None
            assert federation is None, "it is measured alone"
            yield stack.enter_context(_cluster(kind, folder, postgres))
            return
        program = (
            synapse(kind.name, kind.synapse_venv, folder, postgres, federation)
            if kind.synapse_venv
            else tremula(kind.name, folder, postgres, federation)
        )
        yield stack.enter_context(running(program, postgres, starts=starts))


def _cluster(
    kind: Kind, folder: Path, postgres: PostgresServer
) -> AbstractContextManager[Server]:
    if kind.synapse_venv:
        return synapse_cluster(kind.name, folder, postgres, kind.synapse_venv)
    return tremula_cluster(kind.name, folder, postgres)


@contextmanager
def new_folder(parent: Path | None) -> Iterator[Path]:
    """A folder below *parent*, None for the system's own."""
    with tempfile.TemporaryDirectory(prefix="tremula-bench-", dir=parent) as folder:
        yield Path(folder)


@contextmanager
def new_postgres(parent: Path | None) -> Iterator[PostgresServer]:
    """A PostgreSQL as it comes."""
    with running_postgres(_POSTGRES_DEFAULTS, parent=parent) as postgres:
        yield postgres
