"""Running one scenario, and what came of it."""

import gc
import sys
import time
from collections.abc import Awaitable, Mapping

from bench.client import WrongAnswer
from bench.connections import Unanswered
from bench.processes import Processes, machine_cpu_s
from bench.results import Result
from bench.scenarios.subject import Metrics


async def outcome(
    server: str,
    scenario: str,
    sizes: Mapping[str, float],
    processes: Processes,
    work: Awaitable[Metrics],
) -> Result:
    """What *work* finds out about *server*, whose processes are *processes*."""
    metrics: Metrics = {}
    error = None
    busy_s, began_s = _other_busy_s(processes), time.perf_counter()
    # The load generator's own pauses stay out of the latencies.
    gc.collect()
    gc.disable()
    try:
        metrics = await work
    except* (WrongAnswer, Unanswered, TimeoutError) as group:
        error = _first_message(group)
    finally:
        gc.enable()
    took_s = time.perf_counter() - began_s
    other_cores = (_other_busy_s(processes) - busy_s) / took_s
    say(f"{server}: {scenario}, {took_s:.0f} s, {error or 'done'}")
    return Result(
        server=server,
        scenario=scenario,
        sizes=sizes,
        metrics=metrics,
        other_load_cores=round(max(0.0, other_cores), 2),
        error=error,
    )


def say(line: str) -> None:
    """Tell whoever waits how far it is."""
    sys.stderr.write(f"{line}\n")


def _other_busy_s(processes: Processes) -> float:
    own_s = time.process_time() + sum(processes.cpu_s().values())
    return machine_cpu_s() - own_s


def _first_message(group: BaseExceptionGroup[BaseException]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
