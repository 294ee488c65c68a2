"""What goes into a transaction (AS sendTransaction)."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.appservice_transactions import storage
from tremula.features.appservice_transactions.parts import Gathered, TransactionPart
from tremula.features.appservice_transactions.storage import Transaction, Waiting
from tremula.features.appservices.service import Appservice
from tremula.infra.clock import Clock
from tremula.infra.db import Reader, Unit
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.serialize import Serializer

EVENTS_MAX: Final = 100
# Websockets of bridges take 4 MiB.
_EVENTS_BYTES_MAX: Final = 1024 * 1024


class Composed(Struct, frozen=True):
    """A transaction, and what it is made of; if there ``is_more``, another follows."""

    transaction: Transaction
    positions: Sequence[int]
    parts: Sequence[Gathered]
    is_more: bool

    def store(self, unit: Unit, appservice_id: str) -> None:
        """Store it, in the place of all that waits for it."""
        storage.upsert_begun(unit, appservice_id, self.transaction)
        storage.delete_waiting(unit, appservice_id, self.positions)
        for part in self.parts:
            if part.store is not None:
                part.store(unit)


class Composer(Struct, frozen=True):
    """Makes transactions of what waits.

    ``position`` is the journal's: nothing can come any more that is below it.
    """

    db: Reader
    clock: Clock
    position: Callable[[], int]
    events: EventStore
    serializer: Serializer
    parts: list[TransactionPart]

    async def compose(self, appservice: Appservice) -> Composed | None:
        """The next transaction for *appservice*; None if there is nothing for it."""
        waiting = await storage.oldest_waiting(
            self.db, appservice.id, up_to=self.position(), limit=EVENTS_MAX + 1
        )
        known = await self.events.by_nids(each.event_nid for each in waiting)
        taken = _bounded(waiting, known)
        events = [known[each.event_nid] for each in taken if each.event_nid in known]
        gathered = [
            found
            for part in self.parts
            if (found := await part.gather(appservice, events)) is not None
        ]
        if not taken and not any(each.is_news for each in gathered):
            return None
        body: dict[str, Any] = {"events": await self._encoded(taken, known)}
        for each in gathered:
            body |= each.members
        return Composed(
            Transaction(self._new_txn_id(), orjson.dumps(body)),
            [each.pos for each in taken],
            gathered,
            len(taken) < len(waiting) or any(each.is_more for each in gathered),
        )

    def _new_txn_id(self) -> str:
        # Never used before, by no process, before no restart and in no backup.
        return f"{self.clock.now_ms()}.{secrets.token_hex(6)}"

    async def _encoded(
        self, taken: Sequence[Waiting], known: dict[int, StoredEvent]
    ) -> list[orjson.Fragment]:
        """Events whose rooms were deleted meanwhile are left out."""
        ours = [known[each.event_nid] for each in taken if each.event_nid in known]
        encoded = await self.serializer.whole_events(ours)
        by_nid = dict(zip((each.event_nid for each in ours), encoded, strict=True))
        for each in taken:
            if each.client_json is not None:
                by_nid[each.event_nid] = each.client_json
        return [
            orjson.Fragment(by_nid[each.event_nid])
            for each in taken
            if each.event_nid in by_nid
        ]


def _bounded(
    waiting: Sequence[Waiting], known: dict[int, StoredEvent]
) -> Sequence[Waiting]:
    """The first of *waiting*: one at least, together not too large."""
    size_bytes = 0
    for count, each in enumerate(waiting[:EVENTS_MAX]):
        event = known.get(each.event_nid)
        size_bytes += 0 if event is None else len(event.client_json)
        if count and size_bytes > _EVENTS_BYTES_MAX:
            return waiting[:count]
    return waiting[:EVENTS_MAX]
