"""The bus between the processes of a server: a wake-up and a route, never the truth."""

from tremula.infra.bus.bus import (
    Answer,
    Bus,
    BusError,
    BusTimeout,
    BusUnavailable,
    Listener,
    NoResponder,
    PayloadTooLarge,
    Responder,
)

__all__ = [
    "Answer",
    "Bus",
    "BusError",
    "BusTimeout",
    "BusUnavailable",
    "Listener",
    "NoResponder",
    "PayloadTooLarge",
    "Responder",
]
