"""The bus over NATS. Only a process of a cluster loads this module, and nats-py.

A lost connection is replaced by a new client, as one that could not be made: nats-py's
own reconnecting gives up on some errors, and buffers what nobody waits for any more.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, MaxPayloadError, NoServersError
from nats.errors import Error as NatsError

from tremula.infra.bus.bundles import FRAME_BYTES, Bundles, Frame, pack, unpack
from tremula.infra.bus.bus import (
    BusError,
    BusTimeout,
    BusUnavailable,
    Listener,
    NoResponder,
    PayloadTooLarge,
    Responder,
)
from tremula.infra.bus.nats_servers import NatsServer
from tremula.infra.pace import Pace

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
# In the place of the number of a message.
_ANSWERS: Final = "answers"
# Until a server has said otherwise: NATS's default.
_PAYLOAD_BYTES_MAX: Final = 1024 * 1024


class NatsTrust(Struct, frozen=True):
    """Whose certificates are believed, and the ``.creds`` file of NATS that says who
    we are."""

    ca_file: Path | None = None
    credentials_file: Path | None = None


class _Asked(Struct):
    """A request that is not answered yet; ``bundle`` is the message it went in."""

    answer: asyncio.Future[bytes]
    subject: str
    bundle: str = ""


class _Connection:
    """One client from its connection to its loss."""

    def __init__(self) -> None:
        self.client = Client()
        self.lost = asyncio.Event()
        self.inbox = ""
        self.message_bytes_max = _PAYLOAD_BYTES_MAX
        self.asked: dict[int, _Asked] = {}
        self.attached = 0
        self.requests = Bundles()
        self.answers = Bundles()
        self.has_outgoing = asyncio.Event()
        self._soon = Pace(asyncio.get_running_loop())
        self._is_waiting = False
        self._bundles = 0

    async def closed(self) -> None:
        """Fail whoever waits for an answer: none will come."""
        self.lost.set()
        self.fail(self.asked, BusUnavailable("the connection was lost"))

    def fail(self, numbers: Iterable[int], error: BusError) -> None:
        """Let those requests fail with *error*."""
        for number in numbers:
            asked = self.asked.get(number)
            if asked is not None and not asked.answer.done():
                asked.answer.set_exception(error)

    def give_up(self, number: int) -> None:
        """Let that request fail: its time is up."""
        self.fail((number,), BusTimeout("no answer came in time"))

    def add(self, bundles: Bundles, subject: str, frame: Frame) -> None:
        """Have *frame* sent soon, in one message with what comes at once."""
        bundles.add(subject, frame, self.message_bytes_max)
        if not self._is_waiting:
            self._is_waiting = True
            self._soon(self._let_go)

    def _let_go(self) -> None:
        self._is_waiting = False
        self.has_outgoing.set()

    def next_reply(self, numbers: Iterable[int]) -> str:
        """Where the message with those requests is to be answered."""
        self._bundles += 1
        reply = f"{self.inbox}.{self._bundles}"
        for number in numbers:
            if number in self.asked:
                self.asked[number].bundle = reply
        return reply

    async def take_answers(self, message: Msg) -> None:
        """Give answers to whoever waits for them."""
        if (message.headers or {}).get("Status") == _NO_RESPONDERS:
            self._note_nobody(message.subject)
            return
        for number, payload in _unpacked(message):
            asked = self.asked.get(number)
            if asked is not None and not asked.answer.done():
                asked.answer.set_result(payload)

    def _note_nobody(self, bundle: str) -> None:
        for asked in self.asked.values():
            if asked.bundle == bundle and not asked.answer.done():
                asked.answer.set_exception(
                    NoResponder(f"nobody serves {asked.subject}")
                )


class _Subscription(Struct, frozen=True):
    subject: str
    take: Callable[[_Connection, Msg], Awaitable[None]]


class NatsBus:
    """Implements ``Bus``; `run` keeps it connected to one of several servers.

    Requests for one subject, and answers for one process, share a message if they come
    at once: each costs all processes together some 150 µs.

    Without ``echo`` it does not get what it has sent itself.
    """

    def __init__(
        self,
        servers: Sequence[NatsServer],
        *,
        name: str,
        trust: NatsTrust | None = None,
        echo: bool = True,
    ) -> None:
        self._servers = list(servers)
        self._name = name
        self._trust = trust or NatsTrust()
        self._echo = echo
        self._subscriptions: list[_Subscription] = []
        self._callbacks: list[Callable[[bool], None]] = []
        self._connection: _Connection | None = None
        self._newest: _Connection | None = None
        self._payload_bytes_max = _PAYLOAD_BYTES_MAX - FRAME_BYTES
        self._requests = 0
        self._serving = 0

    @property
    def is_connected(self) -> bool:
        """See ``Bus.is_connected``."""
        return self._connection is not None

    @property
    def payload_bytes_max(self) -> int:
        """See ``Bus.payload_bytes_max``."""
        return self._payload_bytes_max

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
        self._check_size(payload)
        self._requests += 1
        number = self._requests
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        connection.asked[number] = _Asked(answer, subject)
        connection.add(connection.requests, subject, (number, payload))
        timer = loop.call_later(timeout_s, connection.give_up, number)
        try:
            return await answer
        finally:
            timer.cancel()
            del connection.asked[number]

    # Receiving

    async def subscribe(self, subject: str, listener: Listener) -> None:
        """See ``Bus.subscribe``."""

        async def take(_: _Connection, message: Msg) -> None:
            listener(message.data)

        await self._subscribe(_Subscription(subject, take))

    async def serve(self, subject: str, responder: Responder) -> None:
        """See ``Bus.serve``."""

        async def take(connection: _Connection, message: Msg) -> None:
            inbox = message.reply.rpartition(".")[0]
            answers = f"{inbox}.{_ANSWERS}"
            for number, asked in _unpacked(message):
                if self._serving >= REQUESTS_SERVED_MAX:
                    log.warning("bus_request_dropped", serving=self._serving)
                    return
                self._serving += 1
                try:
                    responder(asked, partial(self._answer, connection, answers, number))
                except Exception:
                    self._serving -= 1
                    log.exception("bus_responder_failed")

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

    def _check_size(self, payload: bytes) -> None:
        if len(payload) > self.payload_bytes_max:
            most = self.payload_bytes_max
            raise PayloadTooLarge(f"{len(payload)} bytes, at most {most}")

    async def _carry(self, connection: _Connection) -> None:
        """Send what there is to send, until cancelled."""
        while True:
            await connection.has_outgoing.wait()
            connection.has_outgoing.clear()
            await self._send(connection)

    async def _send(self, connection: _Connection) -> None:
        for bundle in connection.requests.take():
            numbers = [number for number, _ in bundle.frames]
            reply = connection.next_reply(numbers)
            try:
                await self._publish(
                    connection, bundle.subject, pack(bundle.frames), reply=reply
                )
            except BusError as error:
                connection.fail(numbers, error)
        for bundle in connection.answers.take():
            try:
                await self._publish(connection, bundle.subject, pack(bundle.frames))
            except BusUnavailable as error:
                # Whoever asked asks again.
                log.info("bus_answers_lost", reason=str(error))

    async def _try(self, server: NatsServer) -> _Connection | None:
        connection = _Connection()
        try:
            await self._connect(connection, server)
            await connection.client.subscribe(
                f"{connection.inbox}.*", cb=connection.take_answers
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
        connection.message_bytes_max = int(client.max_payload)

    async def _use(self, connection: _Connection, server: NatsServer) -> None:
        self._connection = connection
        self._payload_bytes_max = connection.message_bytes_max - FRAME_BYTES
        log.info("bus_connected", server=server.place)
        try:
            self._tell(is_connected=True)
            async with asyncio.TaskGroup() as group:
                carrying = group.create_task(self._carry(connection))
                while not connection.lost.is_set():
                    await self._is_lost(connection)
                carrying.cancel()
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

    def _answer(
        self, connection: _Connection, answers: str, number: int, payload: bytes
    ) -> None:
        self._serving -= 1
        if len(payload) > self.payload_bytes_max:
            log.error("bus_answer_too_large", size_bytes=len(payload))
            return
        connection.add(connection.answers, answers, (number, payload))


def _unpacked(message: Msg) -> list[Frame]:
    try:
        return unpack(message.data)
    except msgspec.MsgspecError as error:
        log.warning("bus_message_unreadable", reason=str(error))
        return []


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
