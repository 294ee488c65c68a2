"""Where clients and other servers find this server."""

from msgspec import Struct

from tremula.protocol.identifiers import ServerName


class WellKnown(Struct, frozen=True):
    """Where it is reached by clients, and by other servers; None: not configured."""

    base_url: str | None
    delegate: ServerName | None = None
