"""A key ring over a fake network."""

from dataclasses import dataclass, field

from tests.fakes.clock import FakeClock
from tests.fakes.key_servers import KeyNetwork
from tremula.features.server_keys.fetching import KeyFetcher
from tremula.features.server_keys.key_ring import KeyRing
from tremula.features.server_keys.service import OwnKeys, open_own_keys
from tremula.infra.db import Database
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.peers import Peers
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_keys import KeyNeed

OWN = ServerName("test")
ORIGIN = ServerName("origin.org")


@dataclass(slots=True)
class Setting:
    """This server, called ``test``, and the others."""

    database: Database
    clock: FakeClock
    network: KeyNetwork
    own: OwnKeys
    peers: Peers = field(default_factory=lambda: Peers(OWN))
    heard: list[ServerName] = field(default_factory=list)

    def ring(self, *notaries: str) -> KeyRing:
        """A key ring with an empty memory."""
        client = FederationClient(self.peers, self.own.current, self.network)
        return KeyRing(
            self.database,
            self.own,
            KeyFetcher(client, self.clock),
            self.clock,
            tuple(ServerName(each) for each in notaries),
        )

    def need(
        self,
        server_name: str = ORIGIN,
        key_id: str = "ed25519:k1",
        *,
        after_ms: int = 0,
        strict: bool = True,
    ) -> KeyNeed:
        """A need of a key that is valid some time after now."""
        valid_at_ms = self.clock.now_ms() + after_ms
        return KeyNeed(ServerName(server_name), key_id, valid_at_ms, strict)


async def open_setting(database: Database, clock: FakeClock) -> Setting:
    own = await open_own_keys(database, clock, OWN)
    return Setting(database, clock, KeyNetwork(clock), own)
