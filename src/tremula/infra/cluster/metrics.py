"""What a member of a cluster counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tremula.infra.bus import Bus
from tremula.infra.cluster.cluster_clock import ClusterClock
from tremula.infra.cluster.in_flight import InFlight
from tremula.infra.cluster.keeper import LeaseKeeper
from tremula.infra.cluster.messages import Outcome

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10)


class CallMetrics:
    """Calls that have travelled to another member."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self._calls = Counter(
            "tremula_cluster_calls_total",
            "Requests to other members by what became of them",
            ("outcome",),
            registry=registry,
        )
        self._by_outcome = {
            outcome: self._calls.labels(outcome.name.lower()) for outcome in Outcome
        }
        self._seconds = Histogram(
            "tremula_cluster_call_seconds",
            "Time from a request to another member to its answer",
            buckets=_SECONDS,
            registry=registry,
        )

    def answered(self, outcome: Outcome, seconds: float) -> None:
        """Count a request that was answered."""
        self._by_outcome[outcome].inc()
        self._seconds.observe(seconds)

    def unanswered(self) -> None:
        """Count a request without an answer."""
        self._calls.labels("unanswered").inc()

    def given_up(self) -> None:
        """Count a call that nobody could be found for in time."""
        self._calls.labels("given_up").inc()


def watch_bus(bus: Bus, registry: CollectorRegistry) -> None:
    """Show in *registry* whether the bus is there, and how often it was lost."""
    connected = Gauge(
        "tremula_bus_connected",
        "Whether this process is connected to the bus",
        registry=registry,
    )
    connected.set_function(lambda: bus.is_connected)
    losses = Counter(
        "tremula_bus_losses_total",
        "How often the connection to the bus was lost",
        registry=registry,
    )

    def count(is_connected: bool) -> None:
        if not is_connected:
            losses.inc()

    bus.on_state(count)


def watch_clock(clock: ClusterClock, registry: CollectorRegistry) -> None:
    """Show in *registry* how much the machine's clock is behind the cluster's."""
    offset = Gauge(
        "tremula_cluster_clock_offset_seconds",
        "How much the machine's clock is behind the database's; 0 if it hardly is",
        registry=registry,
    )
    offset.set_function(lambda: clock.offset_ms / 1000)


def watch_leases(
    keeper: LeaseKeeper, in_flight: InFlight, registry: CollectorRegistry
) -> None:
    """Show in *registry* what this member holds and sees."""
    slots = Gauge(
        "tremula_cluster_slots", "Slots that are held here", registry=registry
    )
    slots.set_function(lambda: len(keeper.slots))
    members = Gauge(
        "tremula_cluster_members",
        "Members that the last heartbeat saw, this one among them",
        registry=registry,
    )
    members.set_function(lambda: sum(not each.is_late for each in keeper.members))
    commands = Gauge(
        "tremula_cluster_commands",
        "Commands under way for the slots that are held here",
        registry=registry,
    )
    commands.set_function(lambda: in_flight.total)
    lag = Gauge(
        "tremula_cluster_lag_seconds",
        "For how long what was stored or heard of is not shown here yet",
        registry=registry,
    )
    lag.set_function(lambda: keeper.load.lag_ms / 1000)
    handovers = Gauge(
        "tremula_cluster_handovers_total",
        "Slots that were given away or lost",
        registry=registry,
    )
    handovers.set_function(lambda: keeper.handovers)
