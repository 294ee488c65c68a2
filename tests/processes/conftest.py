"""Fixtures: one server as two processes, on each engine."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.fakes.processes import Process, two_processes
from tests.features.accounts import AccountsServer, Policy, build_accounts
from tests.features.user_data import build_user_data
from tests.processes.servers import Servers
from tremula.rooms.woken_users import WokenUsers


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def processes(
    database_source: DatabaseSource,
) -> AsyncIterator[tuple[Process, Process]]:
    async with two_processes(database_source) as both:
        yield both


@pytest.fixture
def servers(processes: tuple[Process, Process], clock: FakeClock) -> Servers:
    one, other = (
        build_user_data(each.database, each.journal, clock) for each in processes
    )
    for each in (one, other):
        each.journal.set_audience(WokenUsers(each.memberships).of)
    return Servers(processes, (one, other))


@pytest.fixture
def accounts(
    processes: tuple[Process, Process], clock: FakeClock
) -> Iterator[tuple[AccountsServer, AccountsServer]]:
    one, other = (
        build_accounts(each.database, each.journal, Policy(), clock)
        for each in processes
    )
    yield one, other
    for each in (one, other):
        each.users.passwords.close()
