"""The ways by which transactions come to application services."""

from typing import Protocol

from tremula.features.appservices.service import Appservice


class DeliveryFailed(Exception):
    """A transaction was not taken; the message says why, without secrets."""


class Courier(Protocol):
    """Delivers by one way, such as HTTP."""

    def reaches(self, appservice: Appservice) -> bool:
        """Whether this is the way to *appservice* now."""
        ...

    async def deliver(self, appservice: Appservice, txn_id: str, body: bytes) -> None:
        """Have *appservice* take a transaction, which may not be for the first time.

        *body* is the JSON object of AS sendTransaction.

        Raises:
            DeliveryFailed: it was not taken, or that is not known.
        """
        ...
