"""The test client's own check of answers against the specification."""

import os

import pytest

from tests.http_client import Client
from tremula.infra.http.asgi import AsgiApp, Receive, Scope, Send

pytestmark = pytest.mark.skipif(
    not os.environ.get("MATRIX_SPEC"), reason="MATRIX_SPEC is not set"
)


def answering(body: bytes) -> AsgiApp:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json")]
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return app


@pytest.mark.parametrize(
    "body",
    [
        b'{"user_id":"@a:test"}',
        b'{"user_id":"@a:test","device_id":"D","org.example.unstable":{"x":1}}',
    ],
)
async def test_what_the_specification_allows_passes(body: bytes) -> None:
    assert (await Client(answering(body)).get("/v3/account/whoami")).status == 200


@pytest.mark.parametrize(
    "body", [b"{}", b'{"user_id":1}', b'{"user_id":"@a:test","devise_id":"D"}']
)
async def test_what_the_specification_does_not_allow_fails(body: bytes) -> None:
    with pytest.raises(AssertionError, match="whoami"):
        await Client(answering(body)).get("/v3/account/whoami")
