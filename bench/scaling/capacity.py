"""What so many users need: the measured figures times an assumed behaviour."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.scaling.bus import Bus
from bench.scaling.database import RECEIPT, SEND, Operations
from bench.scaling.memory import Held
from tremula.infra.slots import SLOTS

_S_PER_DAY: Final = 86_400
_DAYS_PER_YEAR: Final = 365
_TOKEN_MAX: Final = 2**53
# As much of a core is planned to be busy at the peak.
_BUSY: Final = 0.6


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What users do: assumed, not measured. Shares are of all users."""

    messages_a_day: float = 6
    peak: float = 4
    receipts_a_message: float = 3
    typing_a_message: float = 2
    waiting_clients: float = 0.05
    readers: float = 8


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured of one process on PostgreSQL, and of members on NATS."""

    send_cpu_ms: float
    receipt_cpu_ms: float
    delivery_cpu_ms: float
    postgres_cpu_ms: float
    hearing_cpu_ms: float
    row_bytes: float
    wal_bytes: float
    announced_bytes: float
    process_kb: float
    client_kb: float


@dataclass(frozen=True, slots=True)
class Need:
    """What is needed at the peak, or a year."""

    users: int
    messages_a_s: float
    announcements_a_s: float
    deliveries_a_s: float
    serving_cores: float
    hearing_share: float
    processes: float
    process_gb: float
    postgres_cores: float
    wal_mb_a_s: float
    database_tb_a_year: float
    bus_mb_a_s: float
    token_years: float


def costs(operations: Operations, bus: Bus, held: Sequence[Held]) -> Costs:
    """Take together what the parts have measured; of the bus, the dearest case in which
    many are announced at once.
    """
    hearing = (told.cpu_ms / told.members for load, told in bus.told if load.batch > 1)
    written = {each.operation: each for each in operations.written}
    send, receipt = written[SEND], written[RECEIPT]
    return Costs(
        send_cpu_ms=send.cpu_ms,
        receipt_cpu_ms=receipt.cpu_ms,
        delivery_cpu_ms=operations.delivery_cpu_ms,
        postgres_cpu_ms=send.postgres_cpu_ms,
        hearing_cpu_ms=max(hearing),
        row_bytes=send.table_bytes + send.index_bytes,
        wal_bytes=send.wal_bytes,
        announced_bytes=bus.sizes.announced,
        process_kb=held[0].kb_each,
        client_kb=sum(each.kb_each for each in held[1:-1]),
    )


def need(users: int, behaviour: Behaviour, cost: Costs) -> Need:
    """The arithmetic. Every process hears every announcement, whatever it serves."""
    a_day = users * behaviour.messages_a_day
    messages = a_day / _S_PER_DAY * behaviour.peak
    receipts = messages * behaviour.receipts_a_message
    announcements = messages + receipts + messages * behaviour.typing_a_message
    deliveries = announcements * behaviour.readers
    serving = (
        messages * cost.send_cpu_ms
        + receipts * cost.receipt_cpu_ms
        + deliveries * cost.delivery_cpu_ms
    ) / 1000
    hearing = announcements * cost.hearing_cpu_ms / 1000
    left = _BUSY - hearing
    processes = max(2.0, serving / left) if left > 0 else float("inf")
    clients_kb = users * behaviour.waiting_clients * cost.client_kb
    return Need(
        users=users,
        messages_a_s=messages,
        announcements_a_s=announcements,
        deliveries_a_s=deliveries,
        serving_cores=serving,
        hearing_share=hearing,
        processes=processes,
        process_gb=cost.process_kb / 1e6 + clients_kb / processes / 1e6,
        postgres_cores=(messages + receipts) * cost.postgres_cpu_ms / 1000,
        wal_mb_a_s=(messages + receipts) * cost.wal_bytes / 1e6,
        database_tb_a_year=a_day * _DAYS_PER_YEAR * cost.row_bytes / 1e12,
        bus_mb_a_s=announcements * cost.announced_bytes * processes / 1e6,
        token_years=_TOKEN_MAX
        / (announcements * SLOTS)
        / (_S_PER_DAY * _DAYS_PER_YEAR),
    )
