"""EDUs that must arrive: messages to devices, changes of device lists and keys."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.infra.clock import Clock
from tremula.infra.federation import durable_edus_storage as storage
from tremula.infra.federation.durable_edus_storage import DurableEdu
from tremula.infra.federation.peers import Peers
from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import ServerName

TOPIC: Final = "durable_edus"
"""Announced with the destination as key and no payload: `Queues` reads what is new."""


class DurableEdus(Struct, frozen=True):
    """Stores EDUs for other servers together with what they tell of.

    Each destination gets them in order, at most 100 in a transaction, which is repeated
    as it is until it has arrived; over restarts, too. For one that can't be reached
    the newest 5,000 are kept, for 30 days (`Sender`).
    """

    peers: Peers
    clock: Clock

    def add(
        self,
        unit: JournalUnit,
        destination: ServerName,
        edu_type: str,
        content: Mapping[str, Any],
        *,
        replacement_key: str | None = None,
    ) -> None:
        """Send an EDU once *unit* is stored; it takes a position of its own.

        With a *replacement_key*, it takes the place of what was added under that key
        and is not on its way yet. Nothing happens for a server that is not permitted.
        """
        if not self.peers.permits(destination):
            return
        if replacement_key is not None:
            storage.delete_replaced(unit, destination, replacement_key)
        pos = unit.pos()
        storage.insert_edu(
            unit,
            DurableEdu(
                destination=destination,
                pos=pos,
                replacement_key=replacement_key,
                edu_json=orjson.dumps({"edu_type": edu_type, "content": content}),
                ts_ms=self.clock.now_ms(),
            ),
        )
        unit.announce(TOPIC, destination, None, pos=pos)
