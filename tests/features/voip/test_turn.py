"""TURN credentials and the transports of MatrixRTC, over HTTP."""

import hmac
from base64 import b64encode
from pathlib import Path

from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.rooms import error_of
from tests.server import Server, config_for, running_server
from tremula.infra.config import Rtc, Turn

ALICE = "@alice:test"
URIS = ("turn:turn.test?transport=udp", "turns:turn.test")
LIVEKIT = {"type": "livekit", "livekit_service_url": "https://livekit.test"}
TRANSPORTS = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"


async def test_credentials_are_made_of_the_shared_secret(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    turn = Turn(uris=URIS, shared_secret="sesame", ttl_s=600)
    config = replace(config_for(database_source, tmp_path), turn=turn)
    clock = FakeClock()
    async with running_server(config, clock) as server:
        answer = (await server.client(ALICE).get("/v3/voip/turnServer")).json

    username = f"{clock.now_ms() // 1000 + 600}:{ALICE}"
    digest = hmac.digest(b"sesame", username.encode(), "sha1")
    assert answer == {
        "username": username,
        "password": b64encode(digest).decode(),
        "uris": list(URIS),
        "ttl": 600,
    }


async def test_fixed_credentials_are_those_of_the_configuration(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    turn = Turn(uris=URIS, username="matrix", password="secret")
    config = replace(config_for(database_source, tmp_path), turn=turn)
    async with running_server(config) as server:
        answer = (await server.client(ALICE).get("/v3/voip/turnServer")).json

    assert (answer["username"], answer["password"]) == ("matrix", "secret")


async def test_without_a_turn_server_there_is_nothing_to_be_found(
    server: Server,
) -> None:
    """MSC4166. With an answer without URIs, Element could not call anybody."""
    answer = await server.client(ALICE).get("/v3/voip/turnServer")

    assert error_of(answer) == (404, "M_NOT_FOUND")
    refused = await server.anonymous.get("/v3/voip/turnServer")
    assert error_of(refused) == (401, "M_MISSING_TOKEN")


async def test_calls_of_many_are_told_their_transports(
    database_source: DatabaseSource, tmp_path: Path
) -> None:
    config = replace(
        config_for(database_source, tmp_path),
        rtc=Rtc(livekit_service_urls=("https://livekit.test",)),
        public_base_url="https://matrix.test",
    )
    async with running_server(config) as server:
        transports = await server.client(ALICE).get(TRANSPORTS)
        well_known = await server.anonymous.get("/.well-known/matrix/client")
        versions = await server.anonymous.get("/_matrix/client/versions")

    assert transports.json == {"rtc_transports": [LIVEKIT]}
    assert well_known.json["org.matrix.msc4143.rtc_foci"] == [LIVEKIT]
    assert versions.json["unstable_features"]["org.matrix.msc4143"] is True


async def test_without_transports_there_are_none(server: Server) -> None:
    assert (await server.client(ALICE).get(TRANSPORTS)).json == {"rtc_transports": []}
