"""The way from this machine to its own server, as another server would go it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from tremula.infra.clock import Clock, SystemClock
from tremula.infra.config import Outbound
from tremula.infra.federation.well_known import Web
from tremula.infra.outbound.address_policy import AddressPolicy
from tremula.infra.outbound.dns import DnsResolver
from tremula.infra.outbound.endpoint import (
    Endpoint,
    Limits,
    OutboundRequest,
    OutboundResponse,
)
from tremula.infra.outbound.http import OutboundHttp
from tremula.infra.outbound.resolver import Resolver

LIMITS: Final = Limits(bytes_max=65_536, timeout_s=15)


class Requests(Protocol):
    """What makes requests to endpoints: `OutboundHttp`."""

    async def request(
        self, endpoint: Endpoint, request: OutboundRequest, limits: Limits
    ) -> OutboundResponse:
        """The whole answer.

        Raises:
            OutboundError: there is none within *limits*.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """DNS, pages, servers, their certificates, and the time."""

    resolver: Resolver
    policy: AddressPolicy
    web: Web
    requests: Requests
    tls: ssl.SSLContext
    clock: Clock

    @property
    def now_s(self) -> float:
        """Seconds since the Unix epoch."""
        return self.clock.now_ms() / 1000


@asynccontextmanager
async def open_world(outbound: Outbound) -> AsyncIterator[World]:
    """The real one."""
    from tremula.infra.outbound.session import load_tls

    resolver = DnsResolver()
    policy = AddressPolicy(outbound.allowed_private_ranges)
    http = OutboundHttp(resolver, policy, trusted_ca_file=outbound.trusted_ca_file)
    try:
        yield World(
            resolver=resolver,
            policy=policy,
            web=http,
            requests=http,
            tls=load_tls(outbound.trusted_ca_file),
            clock=SystemClock(),
        )
    finally:
        await http.close()
        await resolver.close()
