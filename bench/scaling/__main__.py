"""``python -m bench.scaling``: measure the figures of docs/scaling.md.

Each part prints its tables. The last, `capacity`, is arithmetic with what the others
have measured, in this run or one before.
"""

import argparse
import asyncio
import logging
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from bench.scaling.bus import Load, measure_bus
from bench.scaling.capacity import Behaviour, costs, need
from bench.scaling.database import measure_operations
from bench.scaling.figures import (
    Figures,
    bus_markdown,
    capacity_markdown,
    memory_markdown,
    operations_markdown,
    tables_markdown,
)
from bench.scaling.memory import measure_memory
from bench.scaling.tables import read_tables, scattered
from tests.postgres_server import running_postgres

_SCALE: Final = 300
_MEMBERS: Final = (2, 4, 8, 16, 32)
_ALONE: Final = Load(writers=1, batch=1, stores=60)
_BUSY: Final = Load(writers=8, batch=16, stores=20)
_USERS: Final = (10**6, 2 * 10**6, 10**7, 10**8)


def main(arguments: Sequence[str]) -> None:
    """Measure the parts that *arguments* name."""
    options = _parser().parse_args(arguments)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for name in options.parts or _PARTS:
        figures = Figures.load(options.file)
        text = _PARTS[name](figures)
        figures.save(options.file)
        sys.stdout.write(f"## {name}\n\n{text}\n")
        sys.stdout.flush()


def _tables(_figures: Figures) -> str:
    with running_postgres() as postgres:
        tables = asyncio.run(read_tables(postgres.url("postgres")))
    return tables_markdown(tables, scattered({each.name: each for each in tables}))


def _bus(figures: Figures) -> str:
    figures.bus = measure_bus(_MEMBERS, (_ALONE, _BUSY))
    return bus_markdown(figures.bus)


def _operations(figures: Figures) -> str:
    figures.operations = asyncio.run(measure_operations(_SCALE))
    return operations_markdown(figures.operations)


def _memory(figures: Figures) -> str:
    figures.memory = asyncio.run(measure_memory(_SCALE))
    return memory_markdown(figures.memory)


def _capacity(figures: Figures) -> str:
    if not (figures.bus and figures.operations and figures.memory):
        return "measure the other parts first\n"
    cost = costs(figures.operations, figures.bus, figures.memory)
    return capacity_markdown([need(users, Behaviour(), cost) for users in _USERS])


_PARTS: Final[dict[str, Callable[[Figures], str]]] = {
    "tables": _tables,
    "bus": _bus,
    "operations": _operations,
    "memory": _memory,
    "capacity": _capacity,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling", description=__doc__
    )
    parser.add_argument(
        "parts",
        nargs="*",
        choices=[[], *_PARTS],
        metavar="PART",
        help=f"some of {', '.join(_PARTS)} (all)",
    )
    parser.add_argument(
        "--file",
        type=Path,
        default=Path("bench/results/scaling.json"),
        help="where figures are kept for `capacity` (%(default)s)",
    )
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
