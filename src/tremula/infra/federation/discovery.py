"""From a server name to where to connect (SS "Resolving server names")."""

import random
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

import structlog

from tremula.infra.cache import ByteLRU
from tremula.infra.clock import Clock
from tremula.infra.federation.errors import PeerUnreachable
from tremula.infra.federation.well_known import WellKnown
from tremula.infra.outbound.endpoint import Endpoint, is_ip_literal, split_host
from tremula.infra.outbound.errors import ConnectFailed
from tremula.infra.outbound.resolver import Resolver, SrvRecord
from tremula.protocol.identifiers import ServerName

_DEFAULT_PORT: Final = 8448
# The first is the registered one, the second deprecated.
_SERVICES: Final = ("_matrix-fed._tcp", "_matrix._tcp")
_TARGETS_MAX: Final = 8
_NO_SERVICE: Final = "."

_LIFETIME_S: Final = 300
_CACHE_BYTES: Final = 8 * 1024 * 1024
_ENTRY_BYTES: Final = 500

log = structlog.get_logger(__name__)


class Discovery:
    """Where other servers are, remembered for five minutes beside the well-known."""

    def __init__(
        self,
        well_known: WellKnown,
        resolver: Resolver,
        clock: Clock,
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._well_known = well_known
        self._resolver = resolver
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self.cache: ByteLRU[ServerName, tuple[float, Sequence[Endpoint]]] = ByteLRU(
            _CACHE_BYTES
        )

    async def endpoints(self, server_name: ServerName) -> Sequence[Endpoint]:
        """Where to connect for *server_name*, to be tried in this order.

        Raises:
            PeerUnreachable: its DNS says that it has no such service.
        """
        found = self.cache.get(server_name)
        if found is not None and found[0] > self._clock.monotonic_s():
            return found[1]
        endpoints = await self._find(server_name)
        expires_s = self._clock.monotonic_s() + _LIFETIME_S
        size_bytes = _ENTRY_BYTES * len(endpoints)
        self.cache.put(server_name, (expires_s, endpoints), size_bytes)
        return endpoints

    async def _find(self, server_name: ServerName) -> Sequence[Endpoint]:
        if (explicit := _explicit(server_name)) is not None:
            return (explicit,)  # steps 1 and 2
        delegate = await self._well_known.find_delegate(server_name.lower())
        if delegate is None:
            return await self._by_srv(server_name)  # steps 4 to 6
        if (explicit := _explicit(delegate)) is not None:
            return (explicit,)  # steps 3.1 and 3.2
        return await self._by_srv(delegate)  # steps 3.3 to 3.5

    async def _by_srv(self, name: ServerName) -> Sequence[Endpoint]:
        """Of a name without a port: its SRV records, or port 8448.

        The certificate is that of the name, not of the record's target: "DNS is
        insecure".
        """
        hostname, _ = split_host(name)
        for service in _SERVICES:
            records = await self._services(f"{service}.{hostname}")
            if records:
                return [
                    Endpoint(
                        host=record.target.rstrip(".").lower(),
                        port=record.port,
                        tls_name=hostname,
                        host_header=name,
                    )
                    for record in await self._usable(name, records)
                ]
        return (_endpoint(name, hostname, _DEFAULT_PORT),)

    async def _services(self, name: str) -> Sequence[SrvRecord]:
        try:
            return await self._resolver.services(name)
        except ConnectFailed as error:
            # Some name servers know no SRV and fail: the next step may lead there.
            log.info("srv_lookup_failed", name=name, reason=str(error))
            return ()

    async def _usable(
        self, name: ServerName, records: Sequence[SrvRecord]
    ) -> Sequence[SrvRecord]:
        """The records in the order in which to try them, without aliases.

        "The target of a SRV record may *not* be a CNAME, as mandated by RFC2782."
        """
        usable: list[SrvRecord] = []
        for record in in_rfc2782_order(records, self._rng):
            if record.target != _NO_SERVICE and not await self._is_alias(record.target):
                usable.append(record)
            if len(usable) == _TARGETS_MAX:
                break
        if not usable:
            raise PeerUnreachable(f"the SRV records of {name} name no usable server")
        return usable

    async def _is_alias(self, target: str) -> bool:
        try:
            found = await self._resolver.addresses(target.rstrip(".").lower())
        except ConnectFailed:
            return False  # Connecting will fail as well, and say why.
        return found.is_alias


def in_rfc2782_order(
    records: Sequence[SrvRecord], rng: random.Random
) -> Sequence[SrvRecord]:
    """The lowest priority first; among equals at random, by weight."""
    ordered: list[SrvRecord] = []
    by_priority = attrgetter("priority")
    for _, group in groupby(sorted(records, key=by_priority), key=by_priority):
        left = list(group)
        while left:
            # One more, so that a weight of 0 has "a very small chance" too.
            weights = [record.weight * 1000 + 1 for record in left]
            [chosen] = rng.choices(range(len(left)), weights)
            ordered.append(left.pop(chosen))
    return ordered


def _explicit(name: ServerName) -> Endpoint | None:
    """Where *name* itself says all: it is an IP literal, or has a port."""
    hostname, port = split_host(name)
    if port is None and not is_ip_literal(hostname):
        return None
    return _endpoint(name, hostname, _DEFAULT_PORT if port is None else port)


def _endpoint(name: ServerName, hostname: str, port: int) -> Endpoint:
    return Endpoint(host=hostname, port=port, tls_name=hostname, host_header=name)
