"""Answers: bodies, headers and errors."""

import logging

import pytest
from structlog.testing import capture_logs

from tests.fakes.wire import FakeWire
from tests.http_client import Client
from tests.infra.http.routes import Notes
from tremula.infra.http.application import Application
from tremula.infra.http.exchange import Exchange
from tremula.infra.metrics import Metrics


async def test_bytes_are_ready_json(client: Client) -> None:
    response = await client.get("/bytes")

    assert response.body == b'{"ready":true}'
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == "14"


async def test_a_whole_response_names_its_status_and_type(client: Client) -> None:
    response = await client.get("/page")

    assert (response.status, response.body) == (201, b"<p>")
    assert response.headers["content-type"] == "text/html"


@pytest.mark.parametrize(
    "path", ["/bytes", "/page", "/nothing", "/fail/bug", "/guests"]
)
async def test_every_answer_has_the_cors_headers(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers

    assert headers["access-control-allow-origin"] == "*"
    assert headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE, OPTIONS"
    assert (
        headers["access-control-allow-headers"]
        == "X-Requested-With, Content-Type, Authorization"
    )


async def test_a_matrix_error_carries_its_extra_keys(client: Client) -> None:
    response = await client.get("/fail/forbidden")

    assert response.status == 403
    assert response.json == {"errcode": "M_FORBIDDEN", "error": "no", "hint": "ask"}


async def test_a_bug_gives_no_details(client: Client) -> None:
    response = await client.get("/fail/bug")

    assert (response.status, response.json["errcode"]) == (500, "M_UNKNOWN")
    assert b"secret" not in response.body


async def test_a_header_cannot_begin_another(client: Client) -> None:
    response = await client.get("/located", query={"at": "here\r\nset-cookie: a"})

    assert response.status == 500
    assert "set-cookie" not in response.headers


async def test_a_missing_database_says_when_to_come_back(client: Client) -> None:
    response = await client.get("/fail/database")

    assert (response.status, response.json["errcode"]) == (503, "M_UNKNOWN")
    assert response.headers["retry-after"] == "5"


async def test_requests_are_counted_by_operation_and_status(
    client: Client, metrics: Metrics
) -> None:
    await client.get("/bytes")
    await client.get("/fail/bug")
    await client.get("/nothing")

    text = metrics.text().decode()
    for labels in (
        'operation="get_bytes",status="2xx"',
        'operation="get_failure",status="5xx"',
        'operation="unrecognized",status="4xx"',
    ):
        assert f"tremula_http_request_seconds_count{{{labels}}} 1.0" in text


async def test_the_access_log_shows_no_tokens(application: Application) -> None:
    logger = logging.getLogger("tremula.infra.http.application")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    with capture_logs() as logs:
        await Client(application.for_listener()).get("/maybe?access_token=alice")
    logger.setLevel(level)

    [line] = logs
    assert line["event"] == "http_request"
    assert (line["operation"], line["status"]) == ("get_maybe", 200)
    assert "access_token" not in str(line)


async def test_the_access_log_can_be_off(client: Client) -> None:
    with capture_logs() as logs:
        await client.get("/maybe")

    assert logs == []


async def test_nothing_is_begun_for_a_client_that_has_gone(
    application: Application, notes: Notes
) -> None:
    """It may go while its token is read, and nobody would tell who waits for it."""
    wire = FakeWire()
    exchange = Exchange(wire, "GET", (b"/wait", b""), {})
    exchange.lose()

    await application.for_listener()(exchange)

    assert not notes.entered.is_set()
    assert not wire.pieces
