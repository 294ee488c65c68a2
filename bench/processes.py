"""What a server's processes use: CPU time and memory, as the kernel counts them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SERVER: Final = "server"
POSTGRES: Final = "postgres"
NATS: Final = "nats"
REDIS: Final = "redis"

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_PROC: Final = Path("/proc")
# clock_getcpuclockid(3): a process's CPU time in nanoseconds, where /proc has ticks.
_CPU_CLOCK: Final = 2
# Less than this share of a core is what a server uses that does nothing.
_QUIET_SHARE: Final = 0.02
_LOOK_S: Final = 0.5
# Fields of /proc/PID/stat, counted from the state, which follows the command's name.
_PARENT, _CHILD_USER, _CHILD_SYSTEM, _RSS = 1, 13, 14, 21


@dataclass(frozen=True, slots=True)
class Processes:
    """The process trees of one server, by label; those under `SERVER` are its own."""

    roots: Mapping[str, Sequence[int]]

    def cpu_s(self) -> dict[str, float]:
        """What each tree has used since it began, its dead children included."""
        return {
            label: sum(map(_tree_cpu_s, roots)) for label, roots in self.roots.items()
        }

    def rss_kb(self) -> float:
        """The memory of the server's own trees that is resident now."""
        pages = sum(int(_stat(pid)[_RSS]) for pid in self._own())
        return pages * _PAGE_BYTES / 1024

    def peak_rss_kb(self) -> float:
        """The most memory that the server's own trees have had resident."""
        return sum(map(_peak_rss_kb, self._own()))

    def _own(self) -> Iterator[int]:
        for root in self.roots[SERVER]:
            yield from _tree(root)


@dataclass(slots=True)
class Usage:
    """What was used while something was measured; filled in at its end."""

    wall_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)

    def add(self, other: "Usage") -> None:
        """Count what *other* used as well."""
        self.wall_s += other.wall_s
        for label, seconds in other.cpu_s.items():
            self.cpu_s[label] = self.cpu_s.get(label, 0.0) + seconds

    def cpu_ms_per(self, count: int) -> dict[str, float]:
        """``{"cpu_ms": …}`` an operation, and ``postgres_cpu_ms`` etc. of others."""
        per_operation = {
            label: seconds * 1000 / count for label, seconds in self.cpu_s.items()
        }
        named = {"cpu_ms": per_operation.pop(SERVER)}
        return named | {f"{label}_cpu_ms": ms for label, ms in per_operation.items()}


@asynccontextmanager
async def measured(
    processes: Processes, *, settle_s: float = 0.5
) -> AsyncIterator[Usage]:
    """Measure the block. CPU is read *settle_s* after its end, so that work which the
    server has put off is charged to what caused it.
    """
    usage = Usage()
    before, began_s = processes.cpu_s(), time.perf_counter()
    yield usage
    usage.wall_s = time.perf_counter() - began_s
    await asyncio.sleep(settle_s)
    after = processes.cpu_s()
    usage.cpu_s = {label: after[label] - before[label] for label in after}


async def quiet(processes: Processes, *, for_s: float, patience_s: float = 30) -> bool:
    """Wait until nothing has been done *for_s*, so that what the server has put off is
    not charged to what comes next; False if it never rests.

    Half a second counts as nothing that takes less than 2 % of a core.
    """
    quiet_s, ends_s = 0.0, time.perf_counter() + patience_s
    used_s = sum(processes.cpu_s().values())
    while quiet_s < for_s and time.perf_counter() < ends_s:
        await asyncio.sleep(_LOOK_S)
        before_s, used_s = used_s, sum(processes.cpu_s().values())
        is_quiet = used_s - before_s < _QUIET_SHARE * _LOOK_S
        quiet_s = quiet_s + _LOOK_S if is_quiet else 0.0
    return quiet_s >= for_s


def machine_cpu_s() -> float:
    """The seconds that all cores together were busy since the machine started."""
    line = (_PROC / "stat").read_text(encoding="ascii").split("\n", 1)[0]
    user, nice, system, _idle, _iowait, irq, softirq = map(int, line.split()[1:8])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def _tree_cpu_s(root: int) -> float:
    dead = _stat(root)[_CHILD_USER : _CHILD_SYSTEM + 1]
    living_s = sum(map(_cpu_s, _tree(root)))
    return living_s + sum(map(int, dead)) / _TICKS_PER_S


def _cpu_s(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK)


def _tree(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for path in _PROC.glob("[0-9]*/stat"):
        pid = int(path.parent.name)
        try:
            children.setdefault(int(_stat(pid)[_PARENT]), []).append(pid)
        except (FileNotFoundError, ProcessLookupError):
            # It ended while we looked.
            continue
    todo = [root]
    while todo:
        pid = todo.pop()
        yield pid
        todo += children.get(pid, ())


def _peak_rss_kb(pid: int) -> float:
    for line in (_PROC / f"{pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return float(value.removesuffix("kB"))
    return 0.0


def _stat(pid: int) -> list[str]:
    text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()
