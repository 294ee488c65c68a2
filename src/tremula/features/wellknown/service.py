"""Where clients and other servers find this server."""

from dataclasses import dataclass

from tremula.protocol.identifiers import ServerName


@dataclass(frozen=True, slots=True)
class WellKnown:
    """Where it is reached by clients, and by other servers; None: not configured."""

    base_url: str | None
    delegate: ServerName | None = None
