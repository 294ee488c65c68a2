"""What every bus can do, and how it fails."""

from collections.abc import Callable
from typing import Protocol

Listener = Callable[[bytes], None]
"""Takes each message of a subject, in the order in which its publisher sent them."""

Answer = Callable[[bytes], None]
"""Sends the answer to a request; to be called once."""

Responder = Callable[[bytes, Answer], None]
"""Takes a request, and answers it now or later; several may be under way."""


class BusError(Exception):
    """Base of what a bus raises."""


class BusUnavailable(BusError):
    """There is no connection, or it was lost before the answer came."""


class NoResponder(BusError):
    """Nobody serves the subject."""


class BusTimeout(BusError):
    """No answer in time; the request may have been done all the same."""


class PayloadTooLarge(BusError):
    """More than the bus takes in one message."""


class Bus(Protocol):
    """Brings messages to the other processes, each at most once, or not at all.

    Nothing is kept while there is no connection: what must not be lost lies in the
    database, and who was cut off reads it there.
    """

    @property
    def is_connected(self) -> bool:
        """Whether messages go out and come in now."""
        ...

    @property
    def payload_bytes_max(self) -> int:
        """The longest payload of a message."""
        ...

    async def publish(self, subject: str, payload: bytes) -> None:
        """Send *payload* to all who listen.

        Raises:
            BusUnavailable: there is no connection; nobody will get it.
            PayloadTooLarge: see ``payload_bytes_max``.
        """
        ...

    async def subscribe(self, subject: str, listener: Listener) -> None:
        """Have *listener* get what is published on *subject*, over reconnections too.

        The last part of *subject* may be ``*``.
        """
        ...

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """Have whoever serves *subject* answer *payload*.

        Raises:
            BusTimeout: no answer came in time.
            BusUnavailable: the connection is gone.
            NoResponder: nobody serves the subject.
            PayloadTooLarge: see ``payload_bytes_max``.
        """
        ...

    async def serve(self, subject: str, responder: Responder) -> None:
        """Have *responder* answer the requests on *subject*."""
        ...

    def on_state(self, callback: Callable[[bool], None]) -> None:
        """Call *callback* whenever the connection comes (True) or goes (False)."""
        ...
