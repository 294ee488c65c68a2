"""Which servers this one speaks with."""

from msgspec import Struct

from tremula.infra.federation.errors import FederationDenied
from tremula.protocol.identifiers import ServerName


class Peers(Struct, frozen=True):
    """The operator's choice of other servers; names are compared without case."""

    own: ServerName
    is_enabled: bool = True
    allowed: frozenset[str] | None = None
    denied: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        own: ServerName,
        *,
        enabled: bool,
        allowed: tuple[ServerName, ...] | None,
        denied: tuple[ServerName, ...],
    ) -> "Peers":
        """The choice as the configuration has it; ``allowed`` None is everybody."""
        return cls(
            own,
            enabled,
            None if allowed is None else frozenset(map(str.lower, allowed)),
            frozenset(map(str.lower, denied)),
        )

    def permits(self, server_name: ServerName) -> bool:
        """Whether this server speaks with *server_name*, asked or asking."""
        name = server_name.lower()
        return (
            self.is_enabled
            and name != self.own.lower()
            and name not in self.denied
            and (self.allowed is None or name in self.allowed)
        )

    def check(self, server_name: ServerName) -> None:
        """Refuse what is not permitted.

        Raises:
            FederationDenied: *server_name* is not permitted.
        """
        if not self.permits(server_name):
            raise FederationDenied(f"this server does not speak with {server_name}")
