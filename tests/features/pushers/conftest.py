"""Fixtures: a server that may reach the test's push gateway."""

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.fakes.remote import trusted_ca_file
from tests.features.pushers.push_gateway import PushGateway, running_gateway
from tests.server import Server, config_for, running_server
from tremula.infra.config import Config, Outbound


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[PushGateway]:
    """A push gateway on a real socket."""
    async with running_gateway(tmp_path) as gateway:
        yield gateway


@pytest.fixture
def config(database_source: DatabaseSource, tmp_path: Path) -> Config:
    """The configuration of a server that may connect to this machine."""
    outbound = Outbound(
        trusted_ca_file=trusted_ca_file(tmp_path),
        allowed_private_ranges=(ip_network("127.0.0.1"),),
    )
    return replace(config_for(database_source, tmp_path), outbound=outbound)


@pytest.fixture
async def server(config: Config, clock: FakeClock) -> AsyncIterator[Server]:
    """A whole server with that configuration."""
    async with running_server(config, clock) as server:
        yield server
