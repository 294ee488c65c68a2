"""A NATS server, and buses that are connected to it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.nats_server import NatsServer, running_nats
from tremula.infra.metrics import Metrics
from tremula.infra.supervisor import Backoff, Supervisor


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """Without authentication and TLS."""
    with running_nats(tmp_path) as server:
        yield server


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    """Runs the buses of the test, and stops them."""
    supervisor = Supervisor(Metrics(), Backoff(first_s=0, most_s=0))
    yield supervisor
    await supervisor.stop()
