"""The test client's own check of answers against the specification."""

import os

import pytest

from tests.http_client import Client
from tremula.infra.http.exchange import Exchange, HttpApp
from tremula.infra.http.response import encode_response

pytestmark = pytest.mark.skipif(
    not os.environ.get("MATRIX_SPEC"), reason="MATRIX_SPEC is not set"
)


def answering(body: bytes) -> HttpApp:
    async def app(exchange: Exchange) -> None:
        await exchange.answer(encode_response(body).head, body)

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
