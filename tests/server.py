"""A whole server in this process, and clients of its users."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from tests.fakes.federation import FakeTransport
from tests.http_client import Client, HttpResponse
from tremula.app import Tremula, open_app
from tremula.infra.clock import Clock, SystemClock
from tremula.infra.config import (
    BusUrls,
    Cluster,
    Config,
    PasswordHashing,
    PostgresUrl,
    RateLimits,
    RegistrationMode,
    SqliteFile,
)
from tremula.infra.config import Registration as RegistrationPolicy
from tremula.infra.db import Database
from tremula.infra.federation.transport import FederationTransport
from tremula.infra.http.exchange import Exchange, HttpApp
from tremula.infra.outbound.web import Web
from tremula.protocol.appservices import Registration
from tremula.protocol.identifiers import ServerName, UserId, localpart_of

PASSWORD: Final = "correct horse"
SERVER_NAME: Final = ServerName("test")
PROCESSES: Final = 2
"""Of how many a server in a cluster consists."""


class ClusterUrl(PostgresUrl, frozen=True):
    """The database of a server of several processes, and their bus."""

    bus_url: str


def config_for(database: SqliteFile | PostgresUrl, data_dir: Path) -> Config:
    """A configuration without limits, with open registration and cheap hashes."""
    return Config(
        server_name=SERVER_NAME,
        data_dir=data_dir,
        database=database,
        registration=RegistrationPolicy(
            mode=RegistrationMode.OPEN, guests=True, shared_secret="sesame"
        ),
        password_hashing=PasswordHashing(time_cost=1, memory_kib=8, parallelism=1),
        rate_limits=RateLimits(enabled=False),
        cluster=(
            Cluster(bus=BusUrls((database.bus_url,)))
            if isinstance(database, ClusterUrl)
            else Cluster()
        ),
    )


@dataclass(slots=True)
class Server:
    """A server under test, of one process or of several that answer in turn."""

    apps: Sequence[Tremula]
    http: HttpApp
    users: set[str] = field(default_factory=set)

    @property
    def app(self) -> Tremula:
        """The process, or one of them."""
        return self.apps[0]

    @property
    def waiting_users(self) -> int:
        """How many users wait for news now."""
        return sum(app.journal.waiting_users for app in self.apps)

    @property
    def db(self) -> Database:
        """The server's database."""
        return self.app.database

    @property
    def anonymous(self) -> Client:
        """A client without a token."""
        return Client(self.http)

    def client(self, user_id: str, *, device_id: str | None = None) -> "UserClient":
        """A new device of *user_id*, who is registered if need be, on first use."""
        return UserClient(
            self.http, server=self, user_id=UserId(user_id), device_id=device_id
        )

    async def add_appservice(self, registration: Registration) -> None:
        """Let an application service in, as an administrator does."""
        await self.app.appservices.add(registration)

    def appservice_client(
        self,
        registration: Registration,
        user_id: str | None = None,
        device_id: str | None = None,
    ) -> "AppserviceClient":
        """The application service, acting as *user_id*, or as its sender."""
        acting = {"user_id": user_id, "device_id": device_id}
        return AppserviceClient(
            self.http,
            registration.as_token,
            acting_as={key: value for key, value in acting.items() if value},
        )


@dataclass(slots=True)
class _Login:
    token: str | None = None


@dataclass(frozen=True, slots=True)
class UserClient(Client):
    """A client that registers or logs in with its first request."""

    server: Server = field(kw_only=True)
    user_id: UserId = field(kw_only=True)
    device_id: str | None = field(default=None, kw_only=True)
    login: _Login = field(default_factory=_Login, kw_only=True)

    async def request(
        self,
        *args: Any,  # noqa: ANN401 - as the request below takes them
        **options: Any,  # noqa: ANN401
    ) -> HttpResponse:
        """Make a request as this user."""
        if self.login.token is None:
            self.login.token = await self._log_in()
        client = Client(self.app, self.login.token, self.client_ip)
        return await client.request(*args, **options)

    async def _log_in(self) -> str:
        device = {"device_id": self.device_id} if self.device_id else {}
        if self.user_id in self.server.users:
            path = "/v3/login"
            body: dict[str, object] = {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": self.user_id},
            }
        else:
            path = "/v3/register"
            body = {
                "username": localpart_of(self.user_id),
                "auth": {"type": "m.login.dummy"},
            }
        body |= {**device, "password": PASSWORD}
        response = await Client(self.app).post(path, body)
        assert response.status == 200, response.body
        self.server.users.add(self.user_id)
        token: str = response.json["access_token"]
        return token


@dataclass(frozen=True, slots=True)
class AppserviceClient(Client):
    """An application service; ``acting_as`` is added to each query."""

    acting_as: Mapping[str, str] = field(kw_only=True)

    async def request(
        self,
        method: str,
        path: str,
        **options: Any,  # noqa: ANN401 - as the request below takes them
    ) -> HttpResponse:
        """Make a request as the user that it acts as."""
        path, _, query_string = path.partition("?")
        query = {**parse_qs(query_string), **options.pop("query", {}), **self.acting_as}
        client = Client(self.app, self.token, self.client_ip)
        return await client.request(method, path, query=query, **options)


class _InTurn:
    """Has each request answered by the next process, as a balancer would."""

    def __init__(self, apps: Sequence[HttpApp]) -> None:
        self._turns = cycle(apps)

    async def __call__(self, exchange: Exchange) -> None:
        await next(self._turns)(exchange)


@asynccontextmanager
async def running_server(
    config: Config,
    clock: Clock | None = None,
    *,
    transport: FederationTransport | None = None,
    web: Web | None = None,
) -> AsyncIterator[Server]:
    """Start a server, without listeners, and stop it at the end.

    In a cluster it has several processes, all in this one. Unless there is a
    *transport*, no other server can be reached; *web* is what else there is outside.
    """
    clock = clock or SystemClock()
    transport = transport or FakeTransport(is_down=True)
    processes = PROCESSES if config.cluster.bus is not None else 1
    async with AsyncExitStack() as stack:
        apps = [
            await stack.enter_async_context(
                open_app(config, clock=clock, transport=transport, web=web)
            )
            for _ in range(processes)
        ]
        yield Server(apps, _InTurn([app.application.for_listener() for app in apps]))
