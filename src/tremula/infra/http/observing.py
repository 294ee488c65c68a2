"""What operators and load balancers ask: health, readiness, metrics."""

from collections.abc import Callable

from msgspec import Struct

from tremula.infra.config import Api
from tremula.infra.http.endpoint import EVERY_API, Auth, endpoint
from tremula.infra.http.request import Request
from tremula.infra.http.response import Json, Response
from tremula.infra.metrics import Metrics

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Observing(Struct, frozen=True):
    """Tells how this process is. ``is_ready``: whether it should get requests."""

    metrics: Metrics
    is_ready: Callable[[], bool]


@endpoint("GET", "/health", auth=Auth.NONE, api=EVERY_API)
async def get_health(_req: Request, _observing: Observing) -> Json:
    """Whether the process runs at all."""
    return b'{"status":"ok"}'


@endpoint("GET", "/ready", auth=Auth.NONE, api=EVERY_API)
async def get_ready(_req: Request, observing: Observing) -> Json:
    """Whether the process should be sent requests: 200 or 503."""
    if observing.is_ready():
        return b'{"status":"ready"}'
    return Response(503, b'{"status":"not ready"}')


@endpoint("GET", "/metrics", auth=Auth.NONE, api=frozenset({Api.ADMIN, Api.METRICS}))
async def get_metrics(_req: Request, observing: Observing) -> Json:
    """The metrics of this process, for Prometheus."""
    return Response(200, observing.metrics.text(), {"Content-Type": _METRICS_TYPE})
