"""The table of a report in Markdown, each figure with its budget."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bench.processes import NATS, POSTGRES, REDIS
from bench.results import Report
from bench.rows import ROWS, Row

_ABSENT: Final = ""
# The rest of its line says how the table was made.
_BEGIN: Final = "<!-- figures: "
_END: Final = "<!-- end of figures -->"
_TRUSTED_LOAD_CORES: Final = 0.1
# By which a machine is told to be slower than that for which the budgets were set.
_YARDSTICK: Final = "Synapse, SQLite"
_OTHERS: Final = (POSTGRES, NATS, REDIS)


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
    old, end, after = rest.partition(_END)
    assert begin, f"{path} has no {_BEGIN}"
    assert end, f"{path} has no {_END}"
    how = old.partition("\n")[0]
    path.write_text(f"{before}{begin}{how}\n{table}{end}{after}", encoding="utf-8")


def _cells(report: Report, row: Row) -> list[str]:
    title = row.title.format_map(_readable(report.sizes(row.scenario)))
    figures = [_figure(report, row, server) for server in report.servers]
    return [title, str(row.budget or ""), *figures]


def _figure(report: Report, row: Row, server: str) -> str:
    metrics = report.medians(server, row.scenario)
    own = metrics.get(row.metric)
    if own is None:
        return _ABSENT
    others = _shares_of_others(metrics, row.metric)
    text = " + ".join(map(_number, (own, *others.values())))
    if server.startswith("Tremula") and row.budget:
        synapse = report.medians(_YARDSTICK, row.scenario).get(row.metric)
        if not row.budget.on_a_machine(synapse).is_kept(own, others):
            text += " ✗"
        elif not row.budget.is_kept(own, others):
            text += " (✗)"
    return text


def _shares_of_others(metrics: Mapping[str, float], metric: str) -> dict[str, float]:
    """By the name of who is not the server, but used CPU for it."""
    if not metric.endswith("cpu_ms"):
        return {}
    prefix = metric.removesuffix("cpu_ms")
    shares = {label: metrics.get(f"{prefix}{label}_cpu_ms") for label in _OTHERS}
    return {label: share for label, share in shares.items() if share is not None}


def _notes(report: Report) -> Iterator[str]:
    machine = report.machine
    yield (
        f"`{report.command}`, {report.began}: {machine.cores} cores"
        f" ({machine.processor}), the load generator on one of them;"
        f" Python {machine.python}; an fsync takes {machine.fsync_ms} ms."
        " CPU is that of the server's processes; “+” is PostgreSQL's own,"
        " and that of NATS or Redis."
        " ✗ is past the budget; (✗) would not be on a machine as fast as that for which"
        " it was set, judged by Synapse's figure of the same row."
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
