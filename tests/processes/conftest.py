"""Fixtures: one server as two processes, on each engine."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.fakes.processes import Process, two_processes


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def processes(
    database_source: DatabaseSource,
) -> AsyncIterator[tuple[Process, Process]]:
    async with two_processes(database_source) as both:
        yield both
