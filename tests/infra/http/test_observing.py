"""Health, readiness and metrics of a process."""

import pytest

from tests.fakes.clock import FakeClock
from tests.http_client import Client
from tests.infra.http.conftest import FakeAuthenticator
from tremula.infra.config import Api, RateLimits
from tremula.infra.http import Router, observing
from tremula.infra.http.application import Application
from tremula.infra.http.observing import Observing
from tremula.infra.metrics import Metrics
from tremula.infra.ratelimit import RateLimiter


def application_that(*, is_ready: bool, metrics: Metrics) -> Application:
    router = Router()
    router.add(observing, Observing(metrics, lambda: is_ready))
    limiter = RateLimiter(RateLimits(), FakeClock())
    return Application(
        router=router,
        authenticator=FakeAuthenticator(),
        limiter=limiter,
        metrics=metrics,
    )


@pytest.mark.parametrize("api", Api)
async def test_every_listener_tells_its_health(api: Api, metrics: Metrics) -> None:
    app = application_that(is_ready=True, metrics=metrics)
    client = Client(app.for_listener(frozenset({api})))

    assert (await client.get("/health")).json == {"status": "ok"}
    assert (await client.get("/ready")).status == 200


async def test_a_process_that_is_not_ready_says_so(metrics: Metrics) -> None:
    app = application_that(is_ready=False, metrics=metrics)
    client = Client(app.for_listener())

    assert (await client.get("/health")).status == 200
    assert (await client.get("/ready")).status == 503


@pytest.mark.parametrize(
    ("api", "status"),
    [(Api.CLIENT, 404), (Api.FEDERATION, 404), (Api.ADMIN, 200), (Api.METRICS, 200)],
)
async def test_metrics_are_not_for_everyone(
    api: Api, status: int, metrics: Metrics
) -> None:
    app = application_that(is_ready=True, metrics=metrics)

    response = await Client(app.for_listener(frozenset({api}))).get("/metrics")

    assert response.status == status


async def test_metrics_are_in_the_format_of_prometheus(metrics: Metrics) -> None:
    client = Client(application_that(is_ready=True, metrics=metrics).for_listener())
    await client.get("/health")

    response = await client.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"tremula_http_request_seconds_bucket" in response.body
    assert b"process_resident_memory_bytes" in response.body
