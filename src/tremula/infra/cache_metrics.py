"""How often caches have what is asked for, and what they weigh."""

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tremula.infra.cache import ByteLRU


class CacheMetrics(Collector):
    """Reads the caches when it is asked: they count by themselves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._caches: dict[str, ByteLRU[Any, Any]] = {}
        self._counts: dict[str, Callable[[], int]] = {}
        registry.register(self)

    def watch(self, name: str, cache: ByteLRU[Any, Any]) -> None:
        """Show *cache* as *name*."""
        self._caches[name] = cache
        self._counts[name] = cache.__len__

    def count(self, name: str, entries: Callable[[], int]) -> None:
        """Show how many *entries* there are in what is no `ByteLRU`."""
        self._counts[name] = entries

    def collect(self) -> Iterator[Metric]:
        """What they have counted so far."""
        asked = CounterMetricFamily(
            "tremula_cache_requests",
            "What caches were asked for, by whether they had it",
            labels=("cache", "outcome"),
        )
        weight = GaugeMetricFamily(
            "tremula_cache_bytes", "What caches weigh", labels=("cache",)
        )
        for name, cache in self._caches.items():
            asked.add_metric((name, "hit"), cache.hits)
            asked.add_metric((name, "miss"), cache.misses)
            weight.add_metric((name,), cache.size_bytes)
        count = GaugeMetricFamily(
            "tremula_cache_entries", "What is in caches", labels=("cache",)
        )
        for name, entries in self._counts.items():
            count.add_metric((name,), entries())
        yield asked
        yield weight
        yield count
