"""What is shown of caches."""

from prometheus_client import CollectorRegistry, generate_latest

from tremula.infra.cache import ByteLRU
from tremula.infra.cache_metrics import CacheMetrics


def test_hits_misses_and_weight_are_shown_as_they_are_now() -> None:
    registry = CollectorRegistry(auto_describe=True)
    cache: ByteLRU[str, str] = ByteLRU(1_000)
    caches = CacheMetrics(registry)
    caches.watch("events", cache)
    caches.count("users", lambda: 7)

    cache.put("a", "A", 30)
    for key in ("a", "a", "b"):
        cache.get(key)

    shown = generate_latest(registry).decode()
    assert 'tremula_cache_requests_total{cache="events",outcome="hit"} 2.0' in shown
    assert 'tremula_cache_requests_total{cache="events",outcome="miss"} 1.0' in shown
    assert 'tremula_cache_bytes{cache="events"} 30.0' in shown
    assert 'tremula_cache_entries{cache="events"} 1.0' in shown
    assert 'tremula_cache_entries{cache="users"} 7.0' in shown
