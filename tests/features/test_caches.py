"""Every bounded cache of a server shows in its metrics."""

import gc
import re
from pathlib import Path

from tests.server import config_for, running_server
from tremula.infra.cache import ByteLRU
from tremula.infra.config import SqliteFile


def caches() -> list[ByteLRU[object, object]]:
    return [each for each in gc.get_objects() if isinstance(each, ByteLRU)]


async def test_every_cache_has_metrics(tmp_path: Path) -> None:
    earlier = caches()
    config = config_for(SqliteFile(tmp_path / "tremula.db"), tmp_path)

    async with running_server(config) as server:
        answer = await server.anonymous.get("/metrics")
        own = [each for each in caches() if all(each is not old for old in earlier)]

    names = re.findall(
        r'^tremula_cache_bytes{cache="(\w+)"}', answer.body.decode(), re.MULTILINE
    )
    assert len(names) == len(set(names)) == len(own)
    assert "well_known" in names
