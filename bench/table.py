"""The table of a report in Markdown, each figure with its budget."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.results import Report

_ABSENT: Final = ""
_BEGIN: Final = "<!-- figures: python -m bench table FILE --into README.md -->"
_END: Final = "<!-- end of figures -->"
_TRUSTED_LOAD_CORES: Final = 0.1


@dataclass(frozen=True, slots=True)
class Budget:
    """What Tremula may cost at most (or must reach), and on PostgreSQL if that is
    more: its own processes, and with PostgreSQL's.
    """

    value: float
    postgres_own: float | None = None
    postgres_all: float | None = None
    is_least: bool = False

    def __str__(self) -> str:
        text = f"{'≥' if self.is_least else '≤'} {self.value:,g}"
        if self.postgres_all is not None:
            text += (
                f"; PostgreSQL ≤ {self.postgres_own:g}, ≤ {self.postgres_all:g} in all"
            )
        return text

    def is_kept(self, own: float, postgres: float | None) -> bool:
        """Whether a figure is within the budget."""
        if postgres is not None and self.postgres_own is not None:
            assert self.postgres_all is not None
            return own <= self.postgres_own and own + postgres <= self.postgres_all
        return own >= self.value if self.is_least else own <= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``{sizes}`` of the scenario stand in the title."""

    title: str
    scenario: str
    metric: str
    budget: Budget | None = None


ROWS: Final = (
    Row(
        "durable send, {senders} senders, {rooms} rooms: ms CPU",
        "send",
        "cpu_ms",
        Budget(0.40, postgres_own=0.60, postgres_all=1.2),
    ),
    Row("the same: sends a second", "send", "per_s", Budget(2_000, is_least=True)),
    Row(
        "send in a room of {members} members: ms CPU",
        "send_in_room",
        "cpu_ms",
        Budget(0.60),
    ),
    Row(
        "send in a room of {members} members: ms CPU",
        "growing_room",
        "send_cpu_ms",
        Budget(1.5),
    ),
    Row(
        "send to other user's `/sync`, one at a time: ms, p50",
        "latency",
        "p50_ms",
        Budget(3),
    ),
    Row("the same: p99", "latency", "p99_ms", Budget(10)),
    Row(
        "fan-out to {clients} waiting syncs: ms CPU a delivery",
        "fan_out",
        "cpu_ms",
        Budget(0.15),
    ),
    Row("the same: the last one after ms", "fan_out", "last_p50_ms", Budget(50)),
    Row("create a room: ms CPU", "create_room", "cpu_ms", Budget(2)),
    Row(
        "join a public room growing to {members}, first {part}: ms CPU",
        "growing_room",
        "first_cpu_ms",
        Budget(0.8),
    ),
    Row("the same: last {part}", "growing_room", "last_cpu_ms", Budget(0.8)),
    Row(
        "initial sync, {rooms} rooms, lazy members: ms CPU",
        "initial_sync",
        "cpu_ms",
        Budget(60),
    ),
    Row(
        "`/messages`, a page of 100 out of {events}: ms CPU",
        "pages",
        "cpu_ms",
        Budget(1.5),
    ),
    Row("idle: MB resident", "idle", "rss_mb", Budget(70)),
    Row("start to first answer: s", "idle", "startup_s", Budget(0.6)),
    Row(
        "{clients} idle long polls: KB each",
        "idle_polls",
        "kb_each",
        Budget(16),
    ),
    Row("the same: ms CPU a poll", "idle_polls", "cpu_ms", Budget(0.3)),
)


def markdown(report: Report) -> str:
    """The table, and below it where and how it was measured."""
    rows = [
        ["", "budget", *report.servers],
        ["---", *["---:"] * (1 + len(report.servers))],
        *(_cells(report, row) for row in ROWS if report.sizes(row.scenario)),
    ]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    return "\n\n".join([table, *_notes(report)]) + "\n"


def put_into(path: Path, table: str) -> None:
    """Replace what stands between the marks in the file at *path*."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert begin, f"{path} has no {_BEGIN}"
    assert end, f"{path} has no {_END}"
    path.write_text(f"{before}{begin}\n{table}{end}{after}", encoding="utf-8")


def _cells(report: Report, row: Row) -> list[str]:
    title = row.title.format_map(_readable(report.sizes(row.scenario)))
    figures = [_figure(report, row, server) for server in report.servers]
    return [title, str(row.budget or ""), *figures]


def _figure(report: Report, row: Row, server: str) -> str:
    metrics = report.medians(server, row.scenario)
    own = metrics.get(row.metric)
    if own is None:
        return _ABSENT
    postgres = _postgres_share(metrics, row.metric)
    text = _number(own)
    if postgres is not None:
        text += f" + {_number(postgres)}"
    is_ours = server.startswith("Tremula")
    if is_ours and row.budget and not row.budget.is_kept(own, postgres):
        text += " ✗"
    return text


def _postgres_share(metrics: Mapping[str, float], metric: str) -> float | None:
    if not metric.endswith("cpu_ms"):
        return None
    return metrics.get(f"{metric.removesuffix('cpu_ms')}postgres_cpu_ms")


def _notes(report: Report) -> Iterator[str]:
    machine = report.machine
    yield (
        f"`{report.command}`, {report.began}: {machine.cores} cores"
        f" ({machine.processor}), the load generator on one of them;"
        f" Python {machine.python}; an fsync takes {machine.fsync_ms} ms."
        " CPU is that of the server's processes; “+” is PostgreSQL's own."
        " ✗ is past the budget."
    )
    busiest = max((each.other_load_cores for each in report.results), default=0)
    if busiest > _TRUSTED_LOAD_CORES:
        yield (
            f"Something else kept up to {busiest:.1f} cores busy meanwhile:"
            " times and rates suffer most, and CPU is dearer as well."
        )
    for result in report.results:
        if result.error is not None:
            yield f"**{result.server}, {result.scenario} failed**: {result.error}"


def _readable(sizes: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{size:,.0f}" for name, size in sizes.items()}


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
