"""Putting together what requests to other servers take."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tremula.infra.cache_metrics import CacheMetrics
from tremula.infra.clock import Clock
from tremula.infra.config import Outbound
from tremula.infra.federation.discovery import Discovery
from tremula.infra.federation.transport import HttpTransport
from tremula.infra.federation.well_known import WellKnown
from tremula.infra.outbound.address_policy import AddressPolicy
from tremula.infra.outbound.dns import DnsResolver
from tremula.infra.outbound.http import OutboundHttp


@asynccontextmanager
async def open_transport(
    outbound: Outbound, clock: Clock, caches: CacheMetrics
) -> AsyncIterator[HttpTransport]:
    """The way to other servers, and its ``http`` to all else outside.

    Nothing is opened before the first request.
    """
    resolver = DnsResolver()
    http = OutboundHttp(
        resolver,
        AddressPolicy(outbound.allowed_private_ranges),
        trusted_ca_file=outbound.trusted_ca_file,
    )
    well_known = WellKnown(http, clock)
    discovery = Discovery(well_known, resolver, clock)
    caches.watch("well_known", well_known.cache)
    caches.watch("discovery", discovery.cache)
    try:
        yield HttpTransport(discovery, http)
    finally:
        await http.close()
        await resolver.close()
