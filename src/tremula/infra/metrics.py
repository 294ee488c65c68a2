"""Prometheus metrics: the registry of this process, and what infra/ counts itself.

Services make their own metrics with ``registry=metrics.registry``.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tremula.infra.cache_metrics import CacheMetrics

Observe = Callable[[float], None]

# From a cached answer to a long poll of 30 s.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)


class _Durations:
    """How many requests of one kind took how long.

    What the library's own histogram does, at a third of its cost: only the event loop's
    thread counts requests, so that nothing is locked.
    """

    __slots__ = ("counts", "created_s", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(_SECONDS) + 1)
        self.sum_s = 0.0
        self.created_s = time.time()

    def observe(self, seconds: float) -> None:
        self.sum_s += seconds
        self.counts[bisect_left(_SECONDS, seconds)] += 1


class _RequestSeconds(Collector):
    """The durations of requests, by operation and class of status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._durations: dict[tuple[str, str], _Durations] = {}
        registry.register(self)

    def of(self, operation: str, status_class: str) -> _Durations:
        return self._durations.setdefault((operation, status_class), _Durations())

    def collect(self) -> Iterator[Metric]:
        """What has been counted so far."""
        name = "tremula_http_request_seconds"
        family = HistogramMetricFamily(
            name,
            "Time from a request's head to its answer",
            labels=("operation", "status"),
        )
        bounds = [*(str(float(bound)) for bound in _SECONDS), "+Inf"]
        for values, durations in self._durations.items():
            buckets = list(zip(bounds, accumulate(durations.counts), strict=True))
            family.add_metric(values, buckets, durations.sum_s)
            operation, status = values
            named = {"operation": operation, "status": status}
            family.add_sample(f"{name}_created", named, durations.created_s)
        yield family


class Metrics:
    """What is counted, in one registry, so that each test has its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.caches = CacheMetrics(self.registry)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._request_seconds = _RequestSeconds(self.registry)
        self._task_failures = Counter(
            "tremula_task_failures_total",
            "Background tasks that failed",
            ("task",),
            registry=self.registry,
        )

    def request_observer(self, operation: str, status_class: str) -> Observe:
        """Counts requests of *operation* answered with *status_class* (``2xx``).

        Finding it costs as much as using it: keep it.
        """
        return self._request_seconds.of(operation, status_class).observe

    def task_failed(self, name: str) -> None:
        """Count a failure of the background task *name*."""
        self._task_failures.labels(name).inc()

    def text(self) -> bytes:
        """Everything, in the text format of Prometheus."""
        return generate_latest(self.registry)
