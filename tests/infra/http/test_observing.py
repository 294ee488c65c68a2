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


def test_how_long_requests_took_is_told_by_operation_and_status(
    metrics: Metrics,
) -> None:
    observe = metrics.request_observer("get_sync", "2xx")
    for seconds in (0.001, 0.0011, 31):
        observe(seconds)
    metrics.request_observer("get_sync", "4xx")(0.2)

    def told(sample: str, **labels: str) -> float | None:
        name = f"tremula_http_request_seconds_{sample}"
        labels = {"operation": "get_sync", "status": "2xx"} | labels
        return metrics.registry.get_sample_value(name, labels)

    assert told("bucket", le="0.001") == 1
    assert told("bucket", le="0.0025") == 2
    assert told("bucket", le="30.0") == 2
    assert told("bucket", le="+Inf") == told("count") == 3
    assert told("sum") == pytest.approx(31.0021)
    assert told("count", status="4xx") == 1
