"""Slots that a test deals out to several processes, all of which are in this one."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from tremula.infra.db import SlotLost
from tremula.infra.slots import (
    SLOTS,
    CallTypes,
    SlotHandler,
    SlotLease,
    SlotsChanged,
    slot_of,
)


@dataclass(slots=True)
class SharedSlots:
    """Who holds which slot; nobody, at first."""

    holders: dict[int, "HeldSlots"] = field(default_factory=dict)

    def process(self) -> "HeldSlots":
        """The slots of one more process."""
        return HeldSlots(self)

    def give(self, to: "HeldSlots", *keys: str) -> None:
        """Have a process take the slots of *keys*, or all; whoever has them lets go."""
        slots = {slot_of(key) for key in keys} or set(range(SLOTS))
        for process in {
            id(each): each for each in self.holders.values() if each is not to
        }.values():
            gone = {slot for slot in slots if self.holders.get(slot) is process}
            self._end(process, gone)
        self.holders |= dict.fromkeys(slots, to)
        for callback in to.taken_callbacks:
            callback(slots)

    def crash(self, process: "HeldSlots") -> None:
        """A process has ended without a word: nobody holds what it held."""
        self.holders = {s: each for s, each in self.holders.items() if each != process}

    def _end(self, process: "HeldSlots", slots: Collection[int]) -> None:
        for slot in slots:
            del self.holders[slot]
        if slots:
            for callback in process.gone_callbacks:
                callback(slots)


@dataclass(slots=True, eq=False)
class HeldSlots:
    """Implements ``Slots`` for one process."""

    shared: SharedSlots
    handlers: dict[str, SlotHandler] = field(default_factory=dict)
    taken_callbacks: list[SlotsChanged] = field(default_factory=list)
    gone_callbacks: list[SlotsChanged] = field(default_factory=list)

    def register(
        self, kind: str, handler: SlotHandler, types: CallTypes | None = None
    ) -> None:
        self.handlers[kind] = handler

    def lease(self, key: str) -> SlotLease | None:
        """None: what leases keep from being stored is tested with the databases."""
        if not self.holds(key):
            raise SlotLost(f"{key} is not held here")
        return None

    def holds(self, key: str) -> bool:
        return self.shared.holders.get(slot_of(key)) is self

    def on_taken(self, callback: SlotsChanged) -> None:
        self.taken_callbacks.append(callback)

    def on_gone(self, callback: SlotsChanged) -> None:
        self.gone_callbacks.append(callback)

    async def call(self, kind: str, key: str, command: Any) -> Any:  # noqa: ANN401 - as in `Slots`
        return await self.shared.holders[slot_of(key)].handlers[kind](key, command)
