"""The table that the README's figures stand in."""

from pathlib import Path

from bench.results import Machine, Report, Result, load_reports
from bench.table import markdown, put_into


def _report(*results: Result) -> Report:
    return Report(
        command="python -m bench run",
        began="2026-01-31",
        machine=Machine(cores=2, processor="A 1", python="3.11.9", fsync_ms=0.2),
        servers=list(dict.fromkeys(result.server for result in results)),
        results=list(results),
    )


def _send(server: str, **metrics: float) -> Result:
    sizes = {"senders": 16, "rooms": 8, "messages": 3200}
    return Result(server, "send", sizes, metrics, other_load_cores=0.0)


def _cells(report: Report) -> list[list[str]]:
    lines = [line for line in markdown(report).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_figure_stands_beside_its_budget() -> None:
    report = _report(
        _send("Tremula, SQLite", cpu_ms=0.35, per_s=2500),
        _send("Tremula, PostgreSQL", cpu_ms=0.5, postgres_cpu_ms=0.4, per_s=1900),
        _send("Synapse, SQLite", cpu_ms=12.2, per_s=70),
    )

    header, _, cpu, rate = _cells(report)

    assert header[1:] == ["budget", *report.servers]
    assert cpu[0] == "durable send, 16 senders, 8 rooms: ms CPU"
    assert cpu[1] == "≤ 0.4; PostgreSQL ≤ 0.6, ≤ 1.2 in all; two processes ≤ 1.8 in all"
    assert cpu[2:] == ["0.35", "0.50 + 0.40", "12.2"]
    # Past the budget, which is ours alone.
    assert rate[1:] == ["≥ 2,000", "2,500", "1,900 ✗", "70.0"]


def test_of_two_processes_all_that_was_used_counts() -> None:
    used = {"cpu_ms": 1.0, "postgres_cpu_ms": 0.5, "nats_cpu_ms": 0.2}
    report = _report(
        _send("Tremula, two processes", **used),
        _send("Tremula, slower", **used | {"nats_cpu_ms": 0.4}),
        _send("Synapse", cpu_ms=12.2, postgres_cpu_ms=3.0, redis_cpu_ms=1.0),
    )

    assert _cells(report)[2][2:] == [
        "1.00 + 0.50 + 0.20",
        "1.00 + 0.50 + 0.40 ✗",
        "12.2 + 3.00 + 1.00",
    ]


def test_a_slower_machine_is_told_by_synapse() -> None:
    report = _report(
        _send("Tremula, SQLite", cpu_ms=0.7, per_s=1_001),
        _send("Tremula, slower", cpu_ms=0.9, per_s=999),
        # Half as fast as where the budget was set.
        _send("Synapse, SQLite", cpu_ms=24.4, per_s=35),
    )

    _, _, cpu, rate = _cells(report)

    assert cpu[2:] == ["0.70 (✗)", "0.90 ✗", "24.4"]
    assert rate[2:] == ["1,001 (✗)", "999 ✗", "35.0"]


def test_on_a_faster_machine_the_budget_stays() -> None:
    report = _report(
        _send("Tremula, SQLite", cpu_ms=0.39, per_s=2_100),
        _send("Synapse, SQLite", cpu_ms=6.1, per_s=140),
    )

    _, _, cpu, rate = _cells(report)

    assert (cpu[2], rate[2]) == ("0.39", "2,100")


def test_rounds_are_shown_by_their_median() -> None:
    report = _report(
        *(_send("Tremula, SQLite", cpu_ms=cost) for cost in (0.3, 0.9, 0.31))
    )

    assert _cells(report)[2][2] == "0.31"


def test_a_failed_scenario_is_told() -> None:
    failed = Result("Tremula, SQLite", "send", {}, {}, 0.0, error="2 sent, 1 came")

    assert "Tremula, SQLite, send failed**: 2 sent, 1 came" in markdown(_report(failed))


def test_a_report_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    report = _report(_send("Tremula, SQLite", cpu_ms=0.35))
    report.save(tmp_path / "folder/report.json")

    assert load_reports([tmp_path / "folder/report.json"]) == report


def test_what_surrounds_the_table_stays(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    begin = "<!-- figures: python -m bench table FILE --into README.md -->"
    path.write_text(f"before\n{begin}\nold\n<!-- end of figures -->\nafter\n")

    put_into(path, "new\n")

    assert path.read_text() == (
        f"before\n{begin}\nnew\n<!-- end of figures -->\nafter\n"
    )
