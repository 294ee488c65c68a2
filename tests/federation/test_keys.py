"""The keys of one Tremula, as others learn them."""

from typing import Any

from tests.federation.network import Federation
from tests.server import Server
from tremula.infra.config import Federation as FederationConfig
from tremula.protocol.base64 import decode_base64
from tremula.protocol.identifiers import ServerName
from tremula.protocol.signing import verify_json


async def keys_of(server: Server) -> dict[str, bytes]:
    published = (await server.anonymous.get("/_matrix/key/v2/server")).json
    return {
        key_id: decode_base64(entry["key"])
        for key_id, entry in published["verify_keys"].items()
    }


async def list_had_from(notary: Server, name: str) -> list[dict[str, Any]]:
    response = await notary.anonymous.get(f"/_matrix/key/v2/query/{name}")
    lists: list[dict[str, Any]] = response.json["server_keys"]
    return lists


async def test_one_server_vouches_for_another(federation: Federation) -> None:
    notary, other = await federation.start("a.test"), await federation.start("b.test")

    [published] = await list_had_from(notary, "b.test")

    verify_json(published, "b.test", await keys_of(other))
    verify_json(published, "a.test", await keys_of(notary))


async def test_a_server_that_is_gone_is_vouched_for(federation: Federation) -> None:
    notary = await federation.start("a.test")
    await federation.start("b.test")
    before = await list_had_from(notary, "b.test")
    federation.network.down.add(ServerName("b.test"))

    assert await list_had_from(notary, "b.test") == before


async def test_a_server_without_federation_asks_nobody(federation: Federation) -> None:
    alone = await federation.start("a.test", federation=FederationConfig(enabled=False))
    await federation.start("b.test")

    assert await list_had_from(alone, "b.test") == []
    assert federation.network.letters == []
