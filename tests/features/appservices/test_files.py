"""Application services that the configuration names, on a whole server."""

from pathlib import Path

from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.appservices.clients import IRC
from tests.features.appservices.registrations import registration
from tests.server import config_for, running_server
from tremula.infra.config import Appservices
from tremula.protocol.appservices import Registration


async def test_they_are_let_in_as_long_as_they_are_named(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    async def status(by: Registration, *files: Registration) -> int:
        config = replace(
            config_for(database_source, tmp_path), appservices=Appservices(files=files)
        )
        async with running_server(config) as server:
            client = server.appservice_client(by)
            return (await client.get("/v3/account/whoami")).status

    changed = registration("irc", as_token="changed")
    assert await status(IRC, IRC) == 200
    assert await status(IRC, changed) == 401
    assert await status(changed, changed) == 200
    assert await status(changed) == 401
