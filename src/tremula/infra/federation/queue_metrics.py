"""What is counted of sending to other servers."""

from collections.abc import Callable, Collection

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge

from tremula.infra.federation.destination import Destination


class QueueMetrics(Struct, frozen=True):
    """Counters of the queues of all destinations."""

    delivered: Counter
    refused: Counter
    failed: Counter
    pdus: Counter
    edus: Counter
    dropped_edus: Counter
    destinations: Gauge
    behind: Gauge
    waiting: Gauge

    @classmethod
    def registered(cls, registry: CollectorRegistry | None) -> "QueueMetrics":
        """New counters in *registry*; in none, nobody reads them."""
        transactions = Counter(
            "tremula_federation_transactions_sent_total",
            "Transactions to other servers by outcome",
            ("outcome",),
            registry=registry,
        )
        return cls(
            delivered=transactions.labels("delivered"),
            refused=transactions.labels("refused"),
            failed=transactions.labels("failed"),
            pdus=Counter(
                "tremula_federation_pdus_sent_total",
                "PDUs that other servers have taken",
                registry=registry,
            ),
            edus=Counter(
                "tremula_federation_edus_sent_total",
                "EDUs that other servers have taken",
                registry=registry,
            ),
            dropped_edus=Counter(
                "tremula_federation_edus_dropped_total",
                "EDUs that were replaced, or too many or too old to be sent",
                registry=registry,
            ),
            destinations=Gauge(
                "tremula_federation_destinations",
                "Other servers by what is done about them",
                ("phase",),
                registry=registry,
            ),
            behind=Gauge(
                "tremula_federation_destinations_behind",
                "Other servers for which so much waits that it is left in the database",
                registry=registry,
            ),
            waiting=Gauge(
                "tremula_federation_waiting",
                "Events and EDUs in memory that wait for other servers",
                ("kind",),
                registry=registry,
            ),
        )

    def watch(self, phase: str, count: Callable[[], int]) -> None:
        """Let *count* say how many destinations are in *phase*."""
        self.destinations.labels(phase).set_function(count)

    def watch_waiting(self, destinations: Collection[Destination]) -> None:
        """Let *destinations*, which come and go, say what waits for them."""
        self.behind.set_function(lambda: sum(each.is_behind for each in destinations))
        self.waiting.labels("pdu").set_function(
            lambda: sum(len(each.pending) for each in destinations)
        )
        self.waiting.labels("edu").set_function(
            lambda: sum(len(each.edus) for each in destinations)
        )
