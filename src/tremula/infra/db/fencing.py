"""Keeps a process from writing that others have taken for dead.

Each batch of a member first writes its number where only the holder of the writer's
lease may, and locks, where it is still theirs, the epochs of all slots that it has work
of. Whoever takes a slot over changes its epoch: that waits for the commit, or makes the
units fail that were made under the older one.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct

from tremula.infra.db.errors import SlotLost
from tremula.infra.db.unit import Unit
from tremula.infra.slots import SlotLease

LOCKED_EPOCHS: Final = """
    SELECT slot, epoch FROM infra_slots WHERE slot = ANY($1) ORDER BY slot FOR SHARE
"""
ALONE: Final = 1
"""The number of a process that writes alone."""
# In its own statement, which locks and asks as the steps of a batch do: with the number
# of the batch, the writer's and its epoch (NULL if it is alone), and of the slots, each
# with its epoch.
BEGUN: Final = """
    WITH held AS MATERIALIZED (
        SELECT FROM infra_slots
        WHERE slot = ANY($4::int8[])
            AND epoch = ($5::int8[])[array_position($4::int8[], slot)]
        ORDER BY slot FOR SHARE
    ), begun AS MATERIALIZED (
        UPDATE infra_writers SET batch = $1
        WHERE writer = $2 AND epoch = COALESCE($3::int8, epoch)
            AND (SELECT count(*) FROM held) = cardinality($4::int8[])
        RETURNING writer
    )
"""
IS_WRITER: Final = "SELECT 1 FROM infra_writers WHERE writer = $1 AND epoch = $2"


class WriterLease(Struct, frozen=True):
    """That a process is the one that writes with the number *writer*."""

    writer: int
    epoch: int


def locking(writer: WriterLease, leases: Sequence[SlotLease]) -> str:
    """A query for, and locks on, those of *leases* that hold on: none of them, once
    *writer* has ended. It is for a text of several statements, hence the numbers in it.
    """
    # Of a slot with two leases, at most one holds on.
    epochs = {lease.slot: lease.epoch for lease in leases}
    cases = " ".join(f"WHEN {slot:d} THEN {epoch:d}" for slot, epoch in epochs.items())
    slots = ", ".join(f"{slot:d}" for slot in epochs)
    return (
        "SELECT 1 FROM infra_slots"  # noqa: S608 - integers of our own
        f" WHERE slot IN ({slots}) AND epoch = CASE slot {cases} END"
        " AND EXISTS (SELECT 1 FROM infra_writers"
        f" WHERE writer = {writer.writer:d} AND epoch = {writer.epoch:d})"
        " ORDER BY slot FOR SHARE OF infra_slots"
    )


def leases_of(units: Iterable[Unit]) -> list[SlotLease]:
    """The leases that *units* were made under, each once."""
    return list({unit.lease for unit in units if unit.lease is not None})


def slots_of(leases: Sequence[SlotLease]) -> list[int]:
    """The slots of *leases*, each once."""
    return sorted({lease.slot for lease in leases})


def ended(leases: Sequence[SlotLease], epochs: dict[int, int]) -> set[SlotLease]:
    """Those of *leases* whose slots have another epoch than theirs."""
    return {lease for lease in leases if epochs.get(lease.slot) != lease.epoch}


def check_lease(unit: Unit, lost: AbstractSet[SlotLease]) -> None:
    """See that *unit* was not made under one of the leases *lost*.

    Raises:
        SlotLost: it was.
    """
    if unit.lease is not None and unit.lease in lost:
        raise SlotLost(f"slot {unit.lease.slot} is another process's now")
