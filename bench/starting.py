"""New servers on new databases, in folders that go with them."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.outcome import say
from bench.servers import STARTS, FederationAddress, Server, running, tremula
from bench.synapse import synapse
from tests.postgres_server import PostgresServer, running_postgres

ENGINES: Final = {"sqlite": "SQLite", "postgres": "PostgreSQL"}

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
        return f"{self.program}, {ENGINES[self.engine]}"


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
        if kind.engine == "postgres":
            postgres = stack.enter_context(new_postgres(parent))
        program = (
            synapse(kind.name, kind.synapse_venv, folder, postgres, federation)
            if kind.synapse_venv
            else tremula(kind.name, folder, postgres, federation)
        )
        say(f"starting {kind.name}")
        yield stack.enter_context(running(program, postgres, starts=starts))


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
