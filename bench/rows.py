"""The rows of the table: which figures, and what they may be at most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.processes import NATS, POSTGRES


@dataclass(frozen=True, slots=True)
class Budget:
    """What Tremula may cost at most (or must reach), and on PostgreSQL if that is
    more: its own processes, and with PostgreSQL's. Of two processes, only what there
    is a budget for: with PostgreSQL's and NATS's.

    ``synapse`` is what Synapse on SQLite needed on the machine for which it was set.
    """

    value: float
    synapse: float | None = None
    postgres_own: float | None = None
    postgres_all: float | None = None
    cluster_all: float | None = None
    is_least: bool = False

    def __str__(self) -> str:
        text = f"{'≥' if self.is_least else '≤'} {self.value:,g}"
        if self.postgres_all is not None:
            text += (
                f"; PostgreSQL ≤ {self.postgres_own:g}, ≤ {self.postgres_all:g} in all"
            )
        if self.cluster_all is not None:
            text += f"; two processes ≤ {self.cluster_all:g} in all"
        return text

    def on_a_machine(self, synapse: float | None) -> "Budget":
        """What it comes to where Synapse needs *synapse*, if that is more than it was:
        where all is slower.
        """
        if synapse is None or self.synapse is None:
            return self
        factor = synapse / self.synapse
        if (factor > 1) == self.is_least:
            return self
        return Budget(
            self.value * factor,
            synapse,
            postgres_own=_times(self.postgres_own, factor),
            postgres_all=_times(self.postgres_all, factor),
            cluster_all=_times(self.cluster_all, factor),
            is_least=self.is_least,
        )

    def is_kept(self, own: float, others: Mapping[str, float]) -> bool:
        """Whether a figure is within the budget; of CPU, what *others* used counts."""
        if NATS in others:
            all_ = own + sum(others.values())
            return self.cluster_all is None or all_ <= self.cluster_all
        if POSTGRES in others and self.postgres_own is not None:
            assert self.postgres_all is not None
            return (
                own <= self.postgres_own and own + others[POSTGRES] <= self.postgres_all
            )
        return own >= self.value if self.is_least else own <= self.value


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``{sizes}`` of the scenario stand in the title."""

    title: str
    scenario: str
    metric: str
    budget: Budget | None = None


def _inbound_rows(scenario: str, where: str) -> tuple[Row, ...]:
    return (
        Row(f"taking in PDUs of {where}: ms CPU each", scenario, "cpu_ms"),
        Row("the same: PDUs a second", scenario, "per_s"),
    )


def _join_rows(scenario: str, resident: str) -> tuple[Row, ...]:
    title = f"joining a room of {{members}} at {resident}"
    return (
        Row(f"{title}: s to a usable `/sync`", scenario, "sync_s"),
        Row("the same: s to its full state", scenario, "full_s"),
        Row("the same: s CPU", scenario, "cpu_s"),
        Row("the same: MB resident at most", scenario, "peak_mb"),
    )


def _state_rows(scenario: str, room: str) -> tuple[Row, ...]:
    return (
        Row(f"state of {room}: rows an event", scenario, "rows"),
        Row("the same: bytes an event", scenario, "bytes"),
        Row("by a full snapshot an event: rows", scenario, "snapshot_rows"),
        Row("by a full snapshot an event: bytes", scenario, "snapshot_bytes"),
    )


ROWS: Final = (
    Row(
        "durable send, {senders} senders, {rooms} rooms: ms CPU",
        "send",
        "cpu_ms",
        Budget(0.40, 12.2, postgres_own=0.60, postgres_all=1.2, cluster_all=1.8),
    ),
    Row("the same: sends a second", "send", "per_s", Budget(2_000, 70, is_least=True)),
    Row(
        "a send to a room held by the process that is asked: ms, p50",
        "travelling",
        "stays_p50_ms",
    ),
    Row("the same, of a room held by another process", "travelling", "travels_p50_ms"),
    Row("what it costs more to travel: ms", "travelling", "travel_ms", Budget(2)),
    Row(
        "send in a room of {members} members: ms CPU",
        "send_in_room",
        "cpu_ms",
        Budget(0.60, 13.3),
    ),
    Row(
        "send in a room of {members} members: ms CPU",
        "growing_room",
        "send_cpu_ms",
        Budget(1.5, 188),
    ),
    Row(
        "send to other user's `/sync`, one at a time: ms, p50",
        "latency",
        "p50_ms",
        Budget(3, 23),
    ),
    Row("the same: p99", "latency", "p99_ms", Budget(10, 49)),
    Row(
        "fan-out to {clients} waiting syncs: ms CPU a delivery",
        "fan_out",
        "cpu_ms",
        Budget(0.15, 3.3),
    ),
    Row("the same: the last one after ms", "fan_out", "last_p50_ms", Budget(50, 760)),
    Row("create a room: ms CPU", "create_room", "cpu_ms", Budget(2, 51)),
    Row(
        "join a public room growing to {members}, first {part}: ms CPU",
        "growing_room",
        "first_cpu_ms",
        Budget(0.8, 29),
    ),
    Row("the same: last {part}", "growing_room", "last_cpu_ms", Budget(0.8, 29)),
    Row(
        "initial sync, {rooms} rooms, lazy members: ms CPU",
        "initial_sync",
        "cpu_ms",
        Budget(60, 1_950),
    ),
    Row(
        "`/messages`, a page of 100 out of {events}: ms CPU",
        "pages",
        "cpu_ms",
        Budget(1.5, 182),
    ),
    Row(
        "upload of device keys and {one_time_keys} one-time keys: ms CPU",
        "device_keys",
        "upload_cpu_ms",
        Budget(1.0, 6.0),
    ),
    Row(
        "upload of {one_time_keys} more one-time keys: ms CPU",
        "device_keys",
        "addition_cpu_ms",
        Budget(1.0, 6.0),
    ),
    Row(
        "claim of a one-time key: ms CPU",
        "device_keys",
        "claim_cpu_ms",
        Budget(0.2, 1.1),
    ),
    Row(
        "query of the keys of {users} users: ms CPU",
        "device_keys",
        "query_cpu_ms",
        Budget(0.3, 1.7),
    ),
    Row(
        "message to a device, delivered: ms CPU",
        "to_device",
        "cpu_ms",
        Budget(0.4, 4.8),
    ),
    Row("idle: MB resident", "idle", "rss_mb", Budget(70)),
    Row("start to first answer: s", "idle", "startup_s", Budget(0.6, 1.2)),
    Row(
        "{clients} idle long polls: KB each",
        "idle_polls",
        "kb_each",
        Budget(16),
    ),
    Row("the same: ms CPU a poll", "idle_polls", "cpu_ms", Budget(0.3, 4.0)),
    *_inbound_rows("inbound_one_room", "one room"),
    *_inbound_rows("inbound_many_rooms", "{rooms} rooms"),
    *_join_rows("join_handwritten", "a server written by hand"),
    *_join_rows("join_tremula", "Tremula"),
    *_join_rows("join_synapse", "Synapse"),
    *_state_rows("state_linear", "a linear room of {members} members"),
    *_state_rows("state_forked", "the same, forked every {fork_every} events"),
    *_state_rows("state_large", "a room that {joins} join"),
    Row(
        "resolving {members} members, 3 branches, {conflicts} events: s CPU, RV11",
        "resolution",
        "v11_s",
        Budget(1),
    ),
    Row("the same: RV12", "resolution", "v12_s", Budget(1)),
)
