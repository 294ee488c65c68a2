"""What the database writer counts."""

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10)
_UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


class WriterMetrics(Struct, frozen=True):
    """Counters of one writer; touched once a batch, not once a unit."""

    stored: Counter
    failed: Counter
    batch_units: Histogram
    commit_seconds: Histogram
    queued_units: Gauge

    @classmethod
    def registered(cls, registry: CollectorRegistry | None) -> "WriterMetrics":
        """New counters in *registry*; in none, nobody reads them."""
        units = Counter(
            "tremula_db_units_total",
            "Units of work by outcome",
            ("outcome",),
            registry=registry,
        )
        return cls(
            stored=units.labels("stored"),
            failed=units.labels("failed"),
            batch_units=Histogram(
                "tremula_db_batch_units",
                "Units of work in one commit",
                buckets=_UNITS,
                registry=registry,
            ),
            commit_seconds=Histogram(
                "tremula_db_commit_seconds",
                "Time of one commit, its fsync included",
                buckets=_SECONDS,
                registry=registry,
            ),
            queued_units=Gauge(
                "tremula_db_queued_units",
                "Units of work that waited when the last batch began",
                registry=registry,
            ),
        )

    def batch_begun(self, units: int) -> None:
        """Count a batch of *units*."""
        self.batch_units.observe(units)
        self.queued_units.set(units)

    def batch_settled(self, outcomes: list[Exception | None]) -> None:
        """Count how the units of a batch ended."""
        stored = outcomes.count(None)
        self.stored.inc(stored)
        if failed := len(outcomes) - stored:
            self.failed.inc(failed)
