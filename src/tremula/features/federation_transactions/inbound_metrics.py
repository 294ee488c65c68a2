"""What is counted of the transactions of other servers."""

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter


class InboundMetrics(Struct, frozen=True):
    """Counters of what came, by what became of it."""

    pdus: Counter
    edus: Counter

    @classmethod
    def registered(cls, registry: CollectorRegistry | None) -> "InboundMetrics":
        """New counters in *registry*; in none, nobody reads them."""
        return cls(
            pdus=Counter(
                "tremula_federation_pdus_received_total",
                "PDUs of other servers by outcome",
                ("outcome",),
                registry=registry,
            ),
            edus=Counter(
                "tremula_federation_edus_received_total",
                "EDUs of other servers by outcome",
                ("outcome",),
                registry=registry,
            ),
        )

    def pdu(self, outcome: str) -> None:
        """Count a PDU."""
        self.pdus.labels(outcome).inc()

    def edu(self, outcome: str) -> None:
        """Count an EDU."""
        self.edus.labels(outcome).inc()
