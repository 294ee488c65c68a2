"""A small application, whose endpoints are in ``routes``."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.fakes.clock import FakeClock
from tests.http_client import Client
from tests.infra.http import routes
from tests.infra.http.connections import EVERYTHING, Listen
from tests.infra.http.routes import Notes
from tremula.infra.config import Listener, RateLimit, RateLimits
from tremula.infra.http import Requester, RequestingClient, Router
from tremula.infra.http.application import Application
from tremula.infra.http.server import HttpServer
from tremula.infra.metrics import Metrics
from tremula.infra.ratelimit import RateLimiter
from tremula.protocol.errors import Forbidden, Unauthorized, UnknownToken
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.x_matrix import XMatrix, parse_authorization


@dataclass(frozen=True, slots=True)
class FakeAuthenticator:
    """Knows the tokens ``alice``, ``guest`` and ``stale``."""

    def recall(self, token: str, client: RequestingClient) -> Requester | None:
        return None

    async def authenticate(
        self, token: str, client: RequestingClient, *, query_string: bytes
    ) -> Requester:
        if token == "stale":
            raise UnknownToken("expired", soft_logout=True)
        if token not in {"alice", "guest"}:
            raise UnknownToken("no such token")
        return Requester(
            user_id=UserId(f"@{token}:test"),
            device_id=DeviceId("DEVICE"),
            is_guest=token == "guest",
            token_id=1,
            is_admin=False,
        )

    def is_current(self, requester: Requester) -> bool:
        return bool(requester.token_id)


@dataclass(slots=True)
class FakeServers:
    """Refuses ``denied.org``; the signature ``right`` is right."""

    verified: list[tuple[str, str, object]] = field(default_factory=list)

    def admit(self, authorization: str | None) -> XMatrix:
        admitted = parse_authorization(authorization)
        if admitted.origin == "denied.org":
            raise Forbidden("denied")
        return admitted

    async def verify(
        self, authorization: XMatrix, *, method: str, uri: str, content: object
    ) -> None:
        self.verified.append((method, uri, content))
        if authorization.signature != "right":
            raise Unauthorized("wrong")


@pytest.fixture
def servers() -> FakeServers:
    return FakeServers()


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def application(
    notes: Notes, clock: FakeClock, metrics: Metrics, servers: FakeServers
) -> Application:
    router = Router()
    router.add(routes, notes)
    limits = RateLimits(message=RateLimit(per_second=1, burst=3))
    return Application(
        router=router,
        authenticator=FakeAuthenticator(),
        limiter=RateLimiter(limits, clock),
        metrics=metrics,
        servers=servers,
    )


@pytest.fixture
def client(application: Application) -> Client:
    """A client without a token, of a listener that serves everything."""
    return Client(application.for_listener())


@pytest.fixture
def alice(client: Client) -> Client:
    return Client(client.app, "alice")


@pytest.fixture
async def listen(application: Application) -> AsyncIterator[Listen]:
    """Starts servers, which are stopped after the test."""
    servers: list[HttpServer] = []

    async def start(*listeners: Listener, start_s: float = 20) -> HttpServer:
        server = HttpServer(application, start_s=start_s)
        servers.append(server)
        await server.listen(listeners or [EVERYTHING])
        return server

    yield start
    for server in servers:
        await server.stop(grace_s=0)
