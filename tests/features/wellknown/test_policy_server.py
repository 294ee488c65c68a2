"""CS getWellknownPolicy."""

from pathlib import Path

from msgspec.structs import replace

from tests.features.rooms import error_of
from tests.server import Server, config_for, running_server
from tremula.infra.config import Federation, SqliteFile

POLICY = "/.well-known/matrix/policy_server"
KEY = "6yhHGKhCiXTSEN2ksjV7kX_N6rBQZ3Xb-M7LlC6NS-s"


async def test_the_key_of_a_policy_server_beside_this_one_is_told(
    tmp_path: Path,
) -> None:
    config = replace(
        config_for(SqliteFile(tmp_path / "tremula.db"), tmp_path),
        federation=Federation(policy_server_key=KEY),
    )
    async with running_server(config) as server:
        answer = await server.anonymous.get(POLICY)

    assert (answer.status, answer.json) == (200, {"public_keys": {"ed25519": KEY}})


async def test_there_is_none_unless_configured(server: Server) -> None:
    assert error_of(await server.anonymous.get(POLICY)) == (404, "M_NOT_FOUND")
