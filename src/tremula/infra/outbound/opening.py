"""Opens the way to what the operator names, wherever that is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Final

from tremula.infra.config import Outbound
from tremula.infra.outbound.address_policy import AddressPolicy
from tremula.infra.outbound.dns import DnsResolver
from tremula.infra.outbound.http import OutboundHttp

_ANYWHERE: Final = AddressPolicy((ip_network("0.0.0.0/0"), ip_network("::/0")))


@asynccontextmanager
async def open_anywhere(outbound: Outbound) -> AsyncIterator[OutboundHttp]:
    """Requests to any address, such as bridges on this machine; nothing that anybody
    but the operator has named may be reached by it.

    Its connections are its own, so that those who hang keep nothing from others.
    Nothing is opened before the first request.
    """
    resolver = DnsResolver()
    http = OutboundHttp(resolver, _ANYWHERE, trusted_ca_file=outbound.trusted_ca_file)
    try:
        yield http
    finally:
        await http.close()
        await resolver.close()
