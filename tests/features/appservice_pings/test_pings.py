"""CS pingAppservice, over HTTP; over websockets it is tested with them."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.fakes.remote import always, http_answer, running_remote
from tests.features.appservices.registrations import registration
from tests.http_client import HttpResponse
from tests.server import Server

PING = "/v1/appservice/irc/ping"

Ping = Callable[..., Awaitable[HttpResponse]]


@pytest.fixture
def ping(server: Server) -> Ping:
    """Registers the application service, and has it ping itself."""

    async def make(path: str = PING, **changes: Any) -> HttpResponse:  # noqa: ANN401
        registered = registration(**changes)
        await server.add_appservice(registered)
        client = server.appservice_client(registered)
        return await client.post(path, {"transaction_id": "meow"})

    return make


async def test_an_answer_is_timed(ping: Ping, tmp_path: Path) -> None:
    async with running_remote([], always(http_answer(200, b"{}")), tmp_path) as remote:
        answer = await ping(url=f"http://127.0.0.1:{remote.port}/below")
        [request] = remote.requests

    assert answer.status == 200
    assert answer.json["duration_ms"] >= 0
    assert (request.method, request.uri) == ("POST", "/below/_matrix/app/v1/ping")
    assert request.headers["authorization"] == "Bearer hs-token-of-irc"
    assert orjson.loads(request.body) == {"transaction_id": "meow"}


async def test_the_unstable_path_is_the_same(ping: Ping, tmp_path: Path) -> None:
    path = "/unstable/fi.mau.msc2659/appservice/irc/ping"
    async with running_remote([], always(http_answer(200, b"{}")), tmp_path) as remote:
        answer = await ping(path, url=f"http://127.0.0.1:{remote.port}")

    assert answer.status == 200


async def test_another_status_is_told(ping: Ping, tmp_path: Path) -> None:
    refusal = http_answer(403, b'{"errcode":"M_FORBIDDEN"}')
    async with running_remote([], always(refusal), tmp_path) as remote:
        answer = await ping(url=f"http://127.0.0.1:{remote.port}")

    assert answer.status == 502
    assert answer.json["errcode"] == "M_BAD_STATUS"
    assert answer.json["status"] == 403
    assert answer.json["body"] == '{"errcode":"M_FORBIDDEN"}'


async def test_a_long_refusal_is_cut(ping: Ping, tmp_path: Path) -> None:
    refusal = http_answer(500, b"\xff" * 100_000)
    async with running_remote([], always(refusal), tmp_path) as remote:
        answer = await ping(url=f"http://127.0.0.1:{remote.port}")

    assert answer.json["errcode"] == "M_BAD_STATUS"
    assert len(answer.json["body"]) <= 4096


async def test_nobody_there_is_told(ping: Ping) -> None:
    answer = await ping(url="http://127.0.0.1:9")

    assert (answer.status, answer.json["errcode"]) == (502, "M_CONNECTION_FAILED")
    assert "127.0.0.1" not in answer.json["error"]


async def test_without_a_url_there_is_no_ping(ping: Ping) -> None:
    answer = await ping(url=None)

    assert (answer.status, answer.json["errcode"]) == (400, "M_URL_NOT_SET")


async def test_others_are_not_pinged(ping: Ping) -> None:
    answer = await ping("/v1/appservice/xmpp/ping", url="http://127.0.0.1:9")

    assert (answer.status, answer.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_users_do_not_ping(server: Server) -> None:
    await server.add_appservice(registration())
    answer = await server.client("@alice:test").post(PING, {})

    assert (answer.status, answer.json["errcode"]) == (403, "M_FORBIDDEN")
