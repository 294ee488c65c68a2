"""SS "Retrieving server keys", over HTTP, as a server and as a notary."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.fakes.key_servers import DAY_MS, KeyNetwork, KeyServer, key_of
from tests.http_client import Client
from tests.server import Server, config_for, running_server
from tremula import __version__
from tremula.features.server_keys import notary
from tremula.protocol.base64 import decode_base64
from tremula.protocol.signing import verify_json

QUERY = "/_matrix/key/v2/query"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def network(clock: FakeClock) -> KeyNetwork:
    return KeyNetwork(clock)


@pytest.fixture
def origin(network: KeyNetwork) -> KeyServer:
    return network.add("origin.org", 1)


@pytest.fixture
async def server(
    database_source: DatabaseSource,
    tmp_path: Path,
    clock: FakeClock,
    network: KeyNetwork,
) -> AsyncIterator[Server]:
    config = config_for(database_source, tmp_path)
    async with running_server(config, clock, transport=network) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Client:
    return server.anonymous


async def own_verify_keys(client: Client) -> dict[str, bytes]:
    published = (await client.get("/_matrix/key/v2/server")).json
    return {
        key_id: decode_base64(entry["key"])
        for key_id, entry in published["verify_keys"].items()
    }


async def asked_of(client: Client, query: object) -> list[dict[str, Any]]:
    response = await client.post(QUERY, {"server_keys": query})
    assert response.status == 200
    lists: list[dict[str, Any]] = response.json["server_keys"]
    return lists


async def test_a_server_says_what_it_is(client: Client) -> None:
    response = await client.get("/_matrix/federation/v1/version")

    assert response.json == {"server": {"name": "Tremula", "version": __version__}}


async def test_a_server_publishes_its_keys(client: Client, clock: FakeClock) -> None:
    response = await client.get("/_matrix/key/v2/server")

    assert response.status == 200
    assert response.json["server_name"] == "test"
    assert response.json["old_verify_keys"] == {}
    assert response.json["valid_until_ts"] == clock.now_ms() + DAY_MS
    verify_json(response.json, "test", await own_verify_keys(client))


async def test_a_notary_adds_its_signature(client: Client, origin: KeyServer) -> None:
    response = await client.get(f"{QUERY}/origin.org")

    [published] = response.json["server_keys"]
    verify_json(published, "origin.org", {"ed25519:k1": key_of(1).public_key})
    verify_json(published, "test", await own_verify_keys(client))
    assert {**published, "signatures": 0} == {**origin.published(), "signatures": 0}


async def test_many_servers_can_be_asked_for_at_once(
    client: Client, network: KeyNetwork
) -> None:
    for number in range(1, 21):
        network.add(f"s{number}.org", number)
    query: dict[str, object] = {f"s{number}.org": {} for number in range(1, 21)}

    lists = await asked_of(client, {**query, "gone.org": {}})

    assert {each["server_name"] for each in lists} == set(query)


async def test_no_servers_are_no_lists(client: Client) -> None:
    assert await asked_of(client, {}) == []


async def test_a_server_vouches_for_itself(client: Client) -> None:
    [published] = await asked_of(client, {"test": {}})

    verify_json(published, "test", await own_verify_keys(client))


async def test_a_server_that_was_never_heard_from_is_left_out(client: Client) -> None:
    assert (await client.get(f"{QUERY}/gone.org")).json == {"server_keys": []}


async def test_a_server_that_is_down_is_vouched_for_from_memory(
    client: Client, origin: KeyServer, clock: FakeClock
) -> None:
    """Even when its list has expired: old events are to be checked."""
    await asked_of(client, {"origin.org": {}})
    origin.is_down = True
    clock.advance_ms(30 * DAY_MS)

    [published] = await asked_of(client, {"origin.org": {}})

    assert published["valid_until_ts"] == clock.now_ms() - 29 * DAY_MS
    assert origin.requests == 2


async def test_a_list_is_kept_for_half_of_its_lifetime(
    client: Client, origin: KeyServer, clock: FakeClock
) -> None:
    await asked_of(client, {"origin.org": {}})
    clock.advance_ms(DAY_MS // 2)
    await asked_of(client, {"origin.org": {}})
    assert origin.requests == 1

    clock.advance_ms(1)
    await asked_of(client, {"origin.org": {}})
    assert origin.requests == 2


@pytest.mark.parametrize(
    ("ahead_ms", "requests"), [(-DAY_MS, 1), (0, 1), (DAY_MS, 1), (DAY_MS + 1, 2)]
)
async def test_a_list_that_expires_too_early_is_renewed(
    client: Client, origin: KeyServer, clock: FakeClock, ahead_ms: int, requests: int
) -> None:
    await asked_of(client, {"origin.org": {}})
    minimum_ts = clock.now_ms() + ahead_ms
    clock.advance_ms(60_000)

    criteria = {"ed25519:k1": {"minimum_valid_until_ts": minimum_ts}}
    await asked_of(client, {"origin.org": criteria})
    assert origin.requests == requests
    query = {"minimum_valid_until_ts": minimum_ts}
    await client.get(f"{QUERY}/origin.org", query=query)
    assert origin.requests == requests


async def test_a_key_that_is_not_in_the_list_renews_it(
    client: Client, origin: KeyServer, clock: FakeClock
) -> None:
    await asked_of(client, {"origin.org": {}})
    origin.key = key_of(2)
    clock.advance_ms(60_000)

    await asked_of(client, {"origin.org": {"ed25519:k1": {}}})
    assert origin.requests == 1
    [published] = await asked_of(client, {"origin.org": {"ed25519:k2": {}}})
    assert set(published["verify_keys"]) == {"ed25519:k2"}


@pytest.mark.one_process(reason="each process asks for itself")
async def test_nobody_is_asked_over_and_over(client: Client, origin: KeyServer) -> None:
    """Anybody may ask a notary."""
    for number in range(20):
        criteria = {f"ed25519:x{number}": {"minimum_valid_until_ts": 2**53}}
        await asked_of(client, {"origin.org": criteria})

    assert origin.requests == 1


async def test_what_is_known_is_told_when_a_server_takes_too_long(
    client: Client,
    network: KeyNetwork,
    origin: KeyServer,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asks for many servers must not wait for the slowest of them."""
    known = await asked_of(client, {"origin.org": {}})
    clock.advance_ms(DAY_MS)
    monkeypatch.setattr(notary, "_PATIENCE_S", 0)
    network.is_open.clear()

    assert await asked_of(client, {"origin.org": {}, "slow.org": {}}) == known
    network.is_open.set()
    assert origin.requests == 1


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        ({}, 400, "M_MISSING_PARAM"),
        ({"server_keys": []}, 400, "M_BAD_JSON"),
        ({"server_keys": {"a.org": []}}, 400, "M_BAD_JSON"),
        ({"server_keys": {"a.org": {"ed25519:1": 7}}}, 400, "M_BAD_JSON"),
        (
            {"server_keys": {"a.org": {"k": {"minimum_valid_until_ts": "1"}}}},
            400,
            "M_BAD_JSON",
        ),
        ({"server_keys": {"a/b": {}}}, 400, "M_INVALID_PARAM"),
        ({"server_keys": {f"s{n}.org": {} for n in range(101)}}, 413, "M_TOO_LARGE"),
    ],
)
async def test_malformed_queries_are_refused(
    client: Client, body: object, status: int, errcode: str
) -> None:
    response = await client.post(QUERY, body)

    assert (response.status, response.json["errcode"]) == (status, errcode)


@pytest.mark.parametrize("name", ["a%2Fb", "a%20b", "[::1", "x" * 300])
async def test_only_server_names_are_asked_for(client: Client, name: str) -> None:
    response = await client.get(f"{QUERY}/{name}")

    assert (response.status, response.json["errcode"]) == (400, "M_INVALID_PARAM")
