"""Where clients find this server."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WellKnown:
    """``base_url`` is where clients reach the server; None: not configured."""

    base_url: str | None
