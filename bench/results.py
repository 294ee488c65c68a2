"""What a run found out, as it is kept in a file."""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

_FSYNCS: Final = 50


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it ran. An fsync's cost decides much of what writing takes there."""

    cores: int
    processor: str
    python: str
    fsync_ms: float


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario on one server, once.

    ``other_load_cores`` is what else kept the machine busy meanwhile: above 0.1,
    mistrust times on the wall.
    """

    server: str
    scenario: str
    sizes: Mapping[str, float]
    metrics: Mapping[str, float]
    other_load_cores: float
    error: str | None = None


@dataclass(slots=True)
class Report:
    """All results of a run."""

    command: str
    began: str
    machine: Machine
    servers: list[str]
    results: list[Result] = field(default_factory=list)

    def medians(self, server: str, scenario: str) -> dict[str, float]:
        """The median of each metric, over the rounds that have it."""
        rounds = [
            result.metrics
            for result in self.results
            if (result.server, result.scenario) == (server, scenario)
            and result.error is None
        ]
        names = dict.fromkeys(name for metrics in rounds for name in metrics)
        return {
            name: statistics.median(
                metrics[name] for metrics in rounds if name in metrics
            )
            for name in names
        }

    def sizes(self, scenario: str) -> Mapping[str, float]:
        """The sizes that a scenario ran with; empty if it did not."""
        for result in self.results:
            if result.scenario == scenario:
                return result.sizes
        return {}

    def save(self, path: Path) -> None:
        """Write the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))


def load_reports(paths: Iterable[Path]) -> Report:
    """The runs in *paths* as one; the first tells where and how."""
    first, *others = (
        msgspec.json.decode(path.read_bytes(), type=Report) for path in paths
    )
    for report in others:
        first.results += report.results
        first.servers += [each for each in report.servers if each not in first.servers]
    return first


def new_report(command: str, servers: list[str], folder: Path | None) -> Report:
    """A report without results, of a run that begins now; databases go to *folder*."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    return Report(command, today, this_machine(folder), servers)


def this_machine(folder: Path | None) -> Machine:
    """This machine, with its disk as it is at *folder*."""
    return Machine(
        cores=os.cpu_count() or 1,
        processor=_processor(),
        python=_python(),
        fsync_ms=_fsync_ms(folder),
    )


def _python() -> str:
    """Its version and whose build it is, which makes all figures half as high again."""
    builder = "the system's build" if sys.base_prefix == "/usr" else "another's build"
    return f"{platform.python_version()} ({builder})"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _fsync_ms(folder: Path | None) -> float:
    took_s = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_FSYNCS):
            file.write(bytes(4096))
            file.flush()
            began_s = time.perf_counter()
            os.fsync(file.fileno())
            took_s.append(time.perf_counter() - began_s)
    return round(statistics.median(took_s) * 1000, 3)
