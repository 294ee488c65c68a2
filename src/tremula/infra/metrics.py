"""Prometheus metrics: the registry of this process, and what infra/ counts itself.

Services make their own metrics with ``registry=metrics.registry``.
"""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from tremula.infra.cache_metrics import CacheMetrics

Observe = Callable[[float], None]

# From a cached answer to a long poll of 30 s.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)


class Metrics:
    """What is counted, in one registry, so that each test has its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.caches = CacheMetrics(self.registry)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._request_seconds = Histogram(
            "tremula_http_request_seconds",
            "Time from a request's head to its answer",
            ("operation", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
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
        return self._request_seconds.labels(operation, status_class).observe

    def task_failed(self, name: str) -> None:
        """Count a failure of the background task *name*."""
        self._task_failures.labels(name).inc()

    def text(self) -> bytes:
        """Everything, in the text format of Prometheus."""
        return generate_latest(self.registry)
