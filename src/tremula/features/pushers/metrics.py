"""What is counted of pushing."""

from collections.abc import Callable

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge


class PushMetrics(Struct, frozen=True):
    """Counters of what push gateways took, by ``outcome``, and what waits for them."""

    requests: Counter
    waiting: Gauge

    @classmethod
    def registered(cls, registry: CollectorRegistry | None) -> "PushMetrics":
        """New counters in *registry*; in none, nobody reads them."""
        return cls(
            requests=Counter(
                "tremula_push_requests_total",
                "Notifications to push gateways, by outcome",
                ("outcome",),
                registry=registry,
            ),
            waiting=Gauge(
                "tremula_push_waiting",
                "Pushers that wait for their push gateway, or for mail, to be free",
                registry=registry,
            ),
        )

    def request(self, outcome: str) -> None:
        """Count a request."""
        self.requests.labels(outcome).inc()

    def watch_waiting(self, count: Callable[[], int]) -> None:
        """Have *count* asked for what waits."""
        self.waiting.set_function(count)
