"""The figures of all parts as they are kept in a file, and as tables in Markdown."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from bench.scaling.bus import Bus, Load
from bench.scaling.capacity import Need
from bench.scaling.database import Operations
from bench.scaling.memory import Held
from bench.scaling.tables import Statement, Table

_TEXTS: Final = frozenset(
    {"load", "reason", "tables", "unique keys without its column"}
)


@dataclass(slots=True)
class Figures:
    """What was measured so far."""

    bus: Bus | None = None
    operations: Operations | None = None
    memory: Sequence[Held] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> "Figures":
        """Those in the file at *path*; none if there is no such file."""
        if not path.exists():
            return cls()
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def save(self, path: Path) -> None:
        """Write the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))


def tables_markdown(tables: Sequence[Table], statements: Iterable[Statement]) -> str:
    """By what tables are distributed, and what stands in the way."""
    by_column: dict[str, list[str]] = {}
    for table in tables:
        by_column.setdefault(table.column, []).append(f"`{table.name}`")
    placed = [
        (f"`{column}`" if column else "nothing: on every node", ", ".join(names))
        for column, names in sorted(by_column.items(), key=_most_tables)
    ]
    unique = [
        (f"`{table.name}`", ", ".join(f"`{each}`" for each in table.hindrances))
        for table in tables
        if table.hindrances
    ]
    hard = [
        (each.place, ", ".join(f"`{name}`" for name in each.tables), each.reason)
        for each in dict.fromkeys(statements)
    ]
    return "\n".join(
        [
            _table(("distributed by", "tables"), placed),
            _table(("table", "unique keys without its column"), unique),
            _table(("statement", "tables", "reason"), hard),
        ]
    )


def _most_tables(item: tuple[str, Sequence[str]]) -> int:
    return -len(item[1])


def bus_markdown(bus: Bus) -> str:
    """Bytes of one message, then what telling all of it takes."""
    forms = (
        ("as clients see it", bus.sizes.client_json),
        ("announced to all processes", bus.sizes.announced),
        ("the call to the room's owner", bus.sizes.request),
        ("its answer", bus.sizes.reply),
    )
    rows = [
        (
            f"{told.members}",
            _load(load, told.members),
            _number(told.messages),
            _number(told.deliveries),
            _number(told.out_bytes),
            _number(told.cpu_ms),
            _number(told.cpu_ms / told.members),
            _number(told.nats_cpu_ms),
        )
        for load, told in bus.told
    ]
    heads = (
        *("processes", "load", "messages", "deliveries", "bytes delivered"),
        *("ms CPU, all", "ms CPU each process", "ms CPU, NATS"),
    )
    return "\n".join(
        [
            _table(("a text message", "bytes"), [(a, f"{b}") for a, b in forms]),
            _table(heads, rows),
        ]
    )


def _load(load: Load, members: int) -> str:
    if load.batch == 1:
        return "one event alone"
    return f"{min(load.writers, members)} write {load.batch} at once"


def operations_markdown(operations: Operations) -> str:
    """What each operation writes and costs."""
    heads = (
        *("one of", "rows inserted", "updated", "deleted", "bytes of WAL"),
        *("of tables", "of indexes", "ms CPU", "PostgreSQL's"),
    )
    rows = [
        (
            each.operation,
            *map(_number, (each.inserted, each.updated, each.deleted)),
            *map(_number, (each.wal_bytes, each.table_bytes, each.index_bytes)),
            *map(_number, (each.cpu_ms, each.postgres_cpu_ms)),
        )
        for each in operations.written
    ]
    delivery = ("a message is delivered to one who waits", *[""] * 6)
    return _table(heads, [*rows, (*delivery, _number(operations.delivery_cpu_ms), "")])


def memory_markdown(held: Iterable[Held]) -> str:
    """What each of them adds to a process."""
    rows = [(each.what, f"{each.count:,}", _number(each.kb_each)) for each in held]
    return _table(("", "measured with", "KB each"), rows)


def capacity_markdown(needs: Sequence[Need]) -> str:
    """What is needed, by number of users."""
    lines = {
        "messages a second, at the peak": [each.messages_a_s for each in needs],
        "announcements a second": [each.announcements_a_s for each in needs],
        "deliveries a second": [each.deliveries_a_s for each in needs],
        "cores that serve": [each.serving_cores for each in needs],
        "of each process's core, to hear of everything": [
            each.hearing_share for each in needs
        ],
        "processes": [each.processes for each in needs],
        "GB of memory each": [each.process_gb for each in needs],
        "PostgreSQL: cores": [each.postgres_cores for each in needs],
        "PostgreSQL: MB of WAL a second": [each.wal_mb_a_s for each in needs],
        "PostgreSQL: TB more a year": [each.database_tb_a_year for each in needs],
        "NATS: MB a second": [each.bus_mb_a_s for each in needs],
        "years until positions end": [each.token_years for each in needs],
    }
    heads = ("", *(f"{each.users:,} users" for each in needs))
    return _table(heads, [(name, *map(_number, row)) for name, row in lines.items()])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---" if head in _TEXTS else "---:" for head in heads[1:]]]
    lines = [heads, rule, *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _number(value: float) -> str:
    if math.isinf(value):
        return "cannot"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
