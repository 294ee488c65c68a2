"""The bus over NATS. Only a process of a cluster loads this module, and nats-py.

A lost connection is replaced by a new client, as one that could not be made: nats-py's
own reconnecting gives up on some errors, and buffers what nobody waits for any more.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, MaxPayloadError, NoServersError
from nats.errors import Error as NatsError

from tremula.infra.bus.bus import (
    BusTimeout,
    BusUnavailable,
    Listener,
    NoResponder,
    PayloadTooLarge,
    Responder,
)
from tremula.infra.bus.nats_servers import NatsServer
from tremula.infra.supervisor import Supervisor

log = structlog.get_logger(__name__)

_CONNECT_TIMEOUT_S: Final = 2
_FLUSH_TIMEOUT_S: Final = 2.0
_RETRY_FIRST_S: Final = 0.05
_RETRY_MOST_S: Final = 1.0
# A partner that went silent is noticed after three times as long.
_PING_INTERVAL_S: Final = 1
_PINGS_UNANSWERED_MAX: Final = 2
REQUESTS_SERVED_MAX: Final = 4_096
"""Requests under way in this process; more are dropped, and their senders time out."""

_NO_RESPONDERS: Final = "503"
# Until a server has said otherwise: NATS's default.
_PAYLOAD_BYTES_MAX: Final = 1024 * 1024


class NatsTrust(Struct, frozen=True):
    """Whose certificates are believed, and the ``.creds`` file of NATS that says who
    we are."""

    ca_file: Path | None = None
    credentials_file: Path | None = None


class _Connection:
    """One client from its connection to its loss."""

    def __init__(self) -> None:
        self.client = Client()
        self.lost = asyncio.Event()
        self.inbox = ""
        self.answers: dict[str, asyncio.Future[Msg]] = {}
        self.attached = 0

    async def closed(self) -> None:
        """Fail whoever waits for an answer: none will come."""
        self.lost.set()
        for answer in self.answers.values():
            if not answer.done():
                answer.set_exception(BusUnavailable("the connection was lost"))

    async def take_answer(self, message: Msg) -> None:
        """Give an answer to whoever waits for it."""
        answer = self.answers.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(message)


class _Subscription(Struct, frozen=True):
    subject: str
    take: Callable[[_Connection, Msg], Awaitable[None]]


class NatsBus:
    """Implements ``Bus``; `run` keeps it connected to one of several servers.

    Without ``echo`` it does not get what it has sent itself.
    """

    def __init__(
        self,
        servers: Sequence[NatsServer],
        supervisor: Supervisor,
        *,
        name: str,
        trust: NatsTrust | None = None,
        echo: bool = True,
    ) -> None:
        self._servers = list(servers)
        self._supervisor = supervisor
        self._name = name
        self._trust = trust or NatsTrust()
        self._echo = echo
        self._subscriptions: list[_Subscription] = []
        self._callbacks: list[Callable[[bool], None]] = []
        self._connection: _Connection | None = None
        self._newest: _Connection | None = None
        self._requests = 0
        self._serving = 0

    @property
    def is_connected(self) -> bool:
        """See ``Bus.is_connected``."""
        return self._connection is not None

    @property
    def payload_bytes_max(self) -> int:
        """See ``Bus.payload_bytes_max``."""
        if self._connection is None:
            return _PAYLOAD_BYTES_MAX
        return int(self._connection.client.max_payload)

    def on_state(self, callback: Callable[[bool], None]) -> None:
        """See ``Bus.on_state``."""
        self._callbacks.append(callback)

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost, until cancelled."""
        pause_s = _RETRY_FIRST_S
        while True:
            for server in random.sample(self._servers, len(self._servers)):
                connection = await self._try(server)
                if connection is not None:
                    pause_s = _RETRY_FIRST_S
                    await self._use(connection, server)
                    break
            # Not all processes at once come back to a server that has restarted.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause_s = min(pause_s * 2, _RETRY_MOST_S)

    # Sending

    async def publish(self, subject: str, payload: bytes) -> None:
        """See ``Bus.publish``."""
        await self._publish(self._connected(), subject, payload)

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """See ``Bus.request``."""
        connection = self._connected()
        self._requests += 1
        reply = f"{connection.inbox}.{self._requests}"
        answer = asyncio.get_running_loop().create_future()
        connection.answers[reply] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self._publish(connection, subject, payload, reply=reply)
                message: Msg = await answer
        except TimeoutError:
            raise BusTimeout(f"no answer within {timeout_s} s") from None
        finally:
            del connection.answers[reply]
        if (message.headers or {}).get("Status") == _NO_RESPONDERS:
            raise NoResponder(f"nobody serves {subject}")
        return bytes(message.data)

    # Receiving

    async def subscribe(self, subject: str, listener: Listener) -> None:
        """See ``Bus.subscribe``."""

        async def take(_: _Connection, message: Msg) -> None:
            listener(message.data)

        await self._subscribe(_Subscription(subject, take))

    async def serve(self, subject: str, responder: Responder) -> None:
        """See ``Bus.serve``."""

        async def take(connection: _Connection, message: Msg) -> None:
            if self._serving >= REQUESTS_SERVED_MAX:
                log.warning("bus_request_dropped", serving=self._serving)
                return
            self._serving += 1
            self._supervisor.run_once(
                "bus_request", partial(self._answer, connection, responder, message)
            )

        await self._subscribe(_Subscription(subject, take))

    # The connection

    def _connected(self) -> _Connection:
        if self._connection is None:
            raise BusUnavailable("there is no connection to NATS")
        return self._connection

    async def _publish(
        self, connection: _Connection, subject: str, payload: bytes, *, reply: str = ""
    ) -> None:
        try:
            await connection.client.publish(subject, payload, reply=reply)
        except MaxPayloadError as error:
            most = self.payload_bytes_max
            raise PayloadTooLarge(f"{len(payload)} bytes, at most {most}") from error
        except ConnectionClosedError as error:
            await connection.closed()
            raise BusUnavailable(f"NATS: {error}") from error
        except (NatsError, OSError) as error:
            raise BusUnavailable(f"NATS: {error}") from error

    async def _try(self, server: NatsServer) -> _Connection | None:
        connection = _Connection()
        try:
            await self._connect(connection, server)
            await connection.client.subscribe(
                f"{connection.inbox}.*", cb=connection.take_answer
            )
            self._newest = connection
            await self._attach(connection)
            await connection.client.flush(_CONNECT_TIMEOUT_S)
        except (NatsError, OSError, TimeoutError, NoServersError) as error:
            log.warning("bus_unreachable", server=server.place, error=str(error))
            await connection.client.close()
            return None
        except BaseException:
            await connection.client.close()
            raise
        return connection

    async def _connect(self, connection: _Connection, server: NatsServer) -> None:
        client = connection.client
        await client.connect(
            [f"nats://{server.place}"],
            name=self._name,
            no_echo=not self._echo,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=_CONNECT_TIMEOUT_S,
            flush_timeout=_FLUSH_TIMEOUT_S,
            ping_interval=_PING_INTERVAL_S,
            max_outstanding_pings=_PINGS_UNANSWERED_MAX,
            error_cb=_note,
            closed_cb=connection.closed,
            tls=self._tls(),
            **_credentials(client, server, self._trust.credentials_file),
        )
        if server.needs_tls:
            _check_encrypted(client)
        connection.inbox = client.new_inbox()

    async def _use(self, connection: _Connection, server: NatsServer) -> None:
        self._connection = connection
        log.info("bus_connected", server=server.place)
        try:
            self._tell(is_connected=True)
            while not connection.lost.is_set():
                await self._is_lost(connection)
        finally:
            self._connection = None
            self._tell(is_connected=False)
            await connection.client.close()
        log.warning("bus_lost", server=server.place)

    async def _is_lost(self, connection: _Connection) -> None:
        """Wait for that for a while: the client may close without a word."""
        try:
            async with asyncio.timeout(_PING_INTERVAL_S):
                await connection.lost.wait()
        except TimeoutError:
            if connection.client.is_closed:
                await connection.closed()

    def _tell(self, *, is_connected: bool) -> None:
        for callback in self._callbacks:
            callback(is_connected)

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._trust.ca_file)

    async def _subscribe(self, subscription: _Subscription) -> None:
        self._subscriptions.append(subscription)
        if self._newest is None:
            return
        try:
            await self._attach(self._newest)
        except (NatsError, OSError) as error:
            # It is lost: the next connection begins with all subscriptions.
            log.info("bus_error", error=repr(error))

    async def _attach(self, connection: _Connection) -> None:
        """Begin what was subscribed to; also what comes in while this goes on."""
        while connection.attached < len(self._subscriptions):
            subscription = self._subscriptions[connection.attached]
            connection.attached += 1
            take = partial(subscription.take, connection)
            await connection.client.subscribe(subscription.subject, cb=take)

    async def _answer(
        self, connection: _Connection, responder: Responder, message: Msg
    ) -> None:
        try:
            payload = await responder(message.data)
        finally:
            self._serving -= 1
        try:
            await self._publish(connection, message.reply, payload)
        except BusUnavailable as error:
            # Whoever asked asks again.
            log.info("bus_answer_lost", reason=str(error))


async def _note(error: Exception) -> None:
    """What nats-py has to say in passing; failures are seen where they matter."""
    log.info("bus_error", error=repr(error))


def _credentials(
    client: Client, server: NatsServer, file: Path | None
) -> dict[str, Any]:
    """The options of ``connect`` that say who we are."""

    def careful(secret: str) -> Callable[[], str]:
        # nats-py takes a server at its word that says it has no TLS.
        def give() -> str:
            if server.needs_tls:
                _check_encrypted(client)
            return secret

        return give

    if file is not None:
        return {"user_credentials": file}
    if server.token is not None:
        return {"token": careful(server.token)}
    if server.user is not None and server.password is not None:
        return {"user": careful(server.user), "password": careful(server.password)}
    return {}


def _check_encrypted(client: Client) -> None:
    # There is no other way to know before the credentials are sent.
    info: dict[str, Any] = client._server_info  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if not info.get("tls_required"):
        raise NatsError("the server does not speak TLS, which tls:// asks for")
