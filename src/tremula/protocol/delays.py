"""How long an event may be held back (MSC4140)."""

from typing import Final

from tremula.protocol.errors import InvalidParam

DELAY_MAX_MS: Final = 2**53 - 1
"""More is no integer of canonical JSON."""


def parse_delay(delay_ms: int) -> int:
    """A delay in milliseconds.

    Raises:
        InvalidParam: "A positive non-zero number" it is not.
    """
    if not 0 < delay_ms <= DELAY_MAX_MS:
        raise InvalidParam("the delay must be a positive number of milliseconds")
    return delay_ms
