"""What else than events is in a transaction: features that have it add their part."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from tremula.features.appservices.service import Appservice
from tremula.infra.db import Unit
from tremula.rooms.events import StoredEvent


class Gathered(Struct, frozen=True):
    """What a part has for a transaction.

    ``members`` come into its body as they are; values may be `orjson.Fragment`.
    ``store`` adds to the unit that stores the transaction that this need not be
    gathered again; nothing of that happens if it is never stored. Unless ``is_news``,
    there is no transaction for it alone; if there ``is_more``, another one follows.
    """

    members: Mapping[str, Any]
    store: Callable[[Unit], None] | None = None
    is_news: bool = True
    is_more: bool = False


class TransactionPart(Protocol):
    """Adds to the transactions of application services; has `Deliveries.note` called
    when there is something to add.
    """

    async def waiting(self) -> Collection[str]:
        """The IDs of those for whom something is stored, as after a restart."""
        ...

    async def gather(
        self, appservice: Appservice, events: Sequence[StoredEvent], /
    ) -> Gathered | None:
        """What goes to *appservice* together with *events*, of which there may be
        none: at most 100 of a kind.
        """
        ...
