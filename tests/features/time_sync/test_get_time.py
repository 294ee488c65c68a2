"""The server's time, over HTTP."""

from pathlib import Path

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.server import config_for, running_server


async def test_everybody_is_told_the_time(
    database_source: DatabaseSource, tmp_path: Path, clock: FakeClock
) -> None:
    async with running_server(config_for(database_source, tmp_path), clock) as server:
        response = await server.anonymous.get("/unstable/com.beeper.timesync")

    assert (response.status, response.json) == (200, {"time_ms": clock.now_ms()})
