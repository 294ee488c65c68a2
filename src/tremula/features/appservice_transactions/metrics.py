"""What is counted of sending to application services."""

from collections.abc import Callable

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge


class TransactionMetrics(Struct, frozen=True):
    """Counters of all application services together; there may be thousands."""

    taken: Counter
    failed: Counter
    events: Counter
    queues: Gauge
    oldest: Gauge

    @classmethod
    def registered(cls, registry: CollectorRegistry) -> "TransactionMetrics":
        """New counters in *registry*."""
        transactions = Counter(
            "tremula_appservice_transactions_total",
            "Transactions to application services by outcome",
            ("outcome",),
            registry=registry,
        )
        return cls(
            taken=transactions.labels("taken"),
            failed=transactions.labels("failed"),
            events=Counter(
                "tremula_appservice_events_total",
                "Events that were put into transactions to application services",
                registry=registry,
            ),
            queues=Gauge(
                "tremula_appservice_queues",
                "Application services for which something waits, by what is done",
                ("phase",),
                registry=registry,
            ),
            oldest=Gauge(
                "tremula_appservice_waiting_seconds",
                "For how long the application service that has waited longest does",
                registry=registry,
            ),
        )

    def watch(self, phase: str, count: Callable[[], int]) -> None:
        """Let *count* say how many application services are in *phase*."""
        self.queues.labels(phase).set_function(count)
