"""The way out with a DNS of the test's own, allowed to go to loopback."""

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.fakes.remote import trusted_ca_file
from tests.fakes.resolver import FakeResolver
from tremula.infra.outbound.address_policy import AddressPolicy
from tremula.infra.outbound.http import OutboundHttp

LOOPBACK = AddressPolicy((ip_network("127.0.0.1"),))


@pytest.fixture
def resolver() -> FakeResolver:
    """Knows ``remote.test`` and ``other.test``, both on loopback."""
    resolver = FakeResolver()
    resolver.point("remote.test", "127.0.0.1")
    resolver.point("other.test", "127.0.0.1")
    return resolver


@pytest.fixture
async def http(resolver: FakeResolver, tmp_path: Path) -> AsyncIterator[OutboundHttp]:
    """May connect to 127.0.0.1, and trusts the certificates of remote servers."""
    http = OutboundHttp(resolver, LOOPBACK, trusted_ca_file=trusted_ca_file(tmp_path))
    yield http
    await http.close()
