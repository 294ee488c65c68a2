"""Fixtures: a server with mail."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.server import Server, config_for, running_server
from tests.smtp_server import SmtpServer, running_smtp
from tremula.infra.config import ThirdParty


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    """Where its mail arrives."""
    async with running_smtp() as smtp:
        yield smtp


@pytest.fixture
async def server(
    database_source: DatabaseSource, tmp_path: Path, smtp: SmtpServer
) -> AsyncIterator[Server]:
    """A whole server on each engine, without listeners."""
    config = replace(
        config_for(database_source, tmp_path),
        mail=smtp.settings(),
        third_party=ThirdParty(next_link_hosts=("app.example.org",)),
    )
    async with running_server(config) as server:
        yield server
