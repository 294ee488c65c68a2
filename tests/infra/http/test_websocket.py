"""Conversations over WebSockets, with a real client."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
import uvloop
from aiohttp import ClientWebSocketResponse, WSMsgType

from tests.infra.http.connections import EVERYTHING, connected
from tests.infra.http.routes import Notes
from tests.infra.http.test_server import CERTIFICATE
from tremula.infra.config import Listener
from tremula.infra.http.application import Application
from tremula.infra.http.server import HttpServer
from tremula.infra.http.websocket import (
    MESSAGE_BYTES_MAX,
    CloseCode,
    Conversation,
    WebSocket,
    WebSocketClosed,
)
from tremula.infra.metrics import Metrics

DEADLINE_S = 10
ALICE = {"Authorization": "Bearer alice"}


@pytest.fixture
async def server(application: Application) -> AsyncIterator[HttpServer]:
    server = HttpServer(application)
    await server.listen([EVERYTHING, Listener(port=0, tls=CERTIFICATE)])
    yield server
    await server.stop(grace_s=0)


@asynccontextmanager
async def talking(
    server: HttpServer, *, autoping: bool = True, autoclose: bool = True
) -> AsyncGenerator[ClientWebSocketResponse]:
    """A client of the conversation."""
    url = f"ws://127.0.0.1:{server.ports[0]}/talk"
    async with (
        asyncio.timeout(DEADLINE_S),
        aiohttp.ClientSession(headers=ALICE) as session,
        session.ws_connect(url, autoping=autoping, autoclose=autoclose) as client,
    ):
        yield client


def below(client: ClientWebSocketResponse) -> asyncio.Transport:
    """The connection, to do what aiohttp does not."""
    writer = client._writer  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    transport = writer.transport
    assert isinstance(transport, asyncio.Transport)
    return transport


class Overheard:
    """Has what was said, and how it ended."""

    def __init__(self, *, replies: int = 0) -> None:
        self.heard: list[bytes] = []
        self.ended = asyncio.Event()
        self.go_on = asyncio.Event()
        self.closed: WebSocketClosed | None = None
        self.replies = replies

    async def talk(self, socket: WebSocket) -> None:
        try:
            for _ in range(self.replies):
                await socket.send(b"x" * 1_000_000)
            while True:
                self.heard.append(await socket.receive())
                await self.go_on.wait()
        except WebSocketClosed as error:
            self.closed = error
            self.ended.set()
            raise

    async def has_ended(self) -> WebSocketClosed:
        async with asyncio.timeout(DEADLINE_S):
            await self.ended.wait()
        assert self.closed is not None
        return self.closed


async def test_messages_go_both_ways(server: HttpServer) -> None:
    async with talking(server) as client:
        for text in ("one", "zwei €", "x" * 3_000_000):
            await client.send_str(text)
            assert await client.receive_str() == text


def test_messages_go_both_ways_on_the_event_loop_of_the_server(
    application: Application,
) -> None:
    """It runs on uvloop, whose transports are of no type of asyncio's."""

    async def main() -> None:
        server = HttpServer(application)
        await server.listen([EVERYTHING])
        async with talking(server) as client:
            await client.send_str("hello")
            assert await client.receive_str() == "hello"
        await server.stop(grace_s=0)

    uvloop.run(main())


async def test_messages_go_over_tls(server: HttpServer) -> None:
    assert CERTIFICATE.certificate is not None
    context = ssl.create_default_context(cafile=CERTIFICATE.certificate)
    url = f"wss://localhost:{server.ports[1]}/talk"
    async with (
        aiohttp.ClientSession(headers=ALICE) as session,
        session.ws_connect(url, ssl=context) as client,
    ):
        await client.send_str("secret")

        assert await client.receive_str(timeout=DEADLINE_S) == "secret"


async def test_who_may_not_talk_gets_an_ordinary_answer(server: HttpServer) -> None:
    url = f"ws://127.0.0.1:{server.ports[0]}/talk"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url)

    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 426),
        ({"upgrade": "h2c", "connection": "upgrade"}, 426),
        ({"upgrade": "websocket", "connection": "upgrade"}, 400),
    ],
)
async def test_what_is_no_handshake_is_refused(
    server: HttpServer, headers: dict[str, str], status: int
) -> None:
    url = f"http://127.0.0.1:{server.ports[0]}/talk"
    async with (
        aiohttp.ClientSession(headers={**ALICE, **headers}) as session,
        session.get(url) as response,
    ):
        assert response.status == status
        assert (await response.json())["errcode"] == "M_UNRECOGNIZED"


async def test_an_upgrade_that_nobody_takes_is_an_ordinary_request(
    server: HttpServer,
) -> None:
    async with connected(server) as connection:
        connection.send("GET /bytes HTTP/1.1", "Upgrade: h2c", "Connection: upgrade")

        assert await connection.status() == 200


async def test_a_conversation_counts_when_it_begins(
    server: HttpServer, metrics: Metrics
) -> None:
    async with talking(server):
        assert b'operation="get_talk",status="1xx"' in metrics.text()


async def test_pieces_are_one_message(server: HttpServer, notes: Notes) -> None:
    overheard = Overheard()
    overheard.go_on.set()
    notes.conversation = Conversation(overheard.talk)
    async with talking(server) as client:
        transport = below(client)
        for first_byte, text in ((0x01, b"to"), (0x00, b"get"), (0x80, b"her")):
            transport.write(bytes((first_byte, 0x80 | len(text))) + b"\0\0\0\0" + text)
        await client.close()

    await overheard.has_ended()
    assert overheard.heard == [b"together"]


async def test_the_client_ends_it(server: HttpServer, notes: Notes) -> None:
    overheard = Overheard()
    notes.conversation = Conversation(overheard.talk)
    async with talking(server) as client:
        await client.close(code=4321, message=b"had enough")

    closed = await overheard.has_ended()
    assert (closed.code, closed.reason) == (4321, "had enough")


async def test_the_server_ends_it(server: HttpServer, notes: Notes) -> None:
    async def talk(socket: WebSocket) -> None:
        socket.close(4001, '{"status":"conn_replaced"}')
        with pytest.raises(WebSocketClosed):
            await socket.receive()
        with pytest.raises(WebSocketClosed):
            await socket.send(b"more")

    notes.conversation = Conversation(talk)
    async with talking(server, autoclose=False) as client:
        message = await client.receive()

        assert message.type is WSMsgType.CLOSE
        assert (message.data, message.extra) == (4001, '{"status":"conn_replaced"}')


async def test_a_client_that_is_lost_ends_it(server: HttpServer, notes: Notes) -> None:
    overheard = Overheard()
    notes.conversation = Conversation(overheard.talk)
    async with talking(server) as client:
        below(client).abort()

        assert (await overheard.has_ended()).code == CloseCode.ABNORMAL


async def test_a_bug_ends_it(server: HttpServer, notes: Notes) -> None:
    async def talk(socket: WebSocket) -> None:
        raise KeyError(await socket.receive())

    notes.conversation = Conversation(talk)
    async with talking(server) as client:
        await client.send_str("secret detail")
        await client.receive()

        assert client.close_code == CloseCode.INTERNAL_ERROR


async def test_stopping_says_farewell(server: HttpServer) -> None:
    async with talking(server, autoclose=False) as client:
        await server.stop()
        message = await client.receive()

        assert (message.data, message.extra) == (CloseCode.RESTART, "bye")


async def test_what_is_no_text_is_refused(server: HttpServer) -> None:
    async with talking(server) as client:
        await client.send_bytes(b"\x00")
        await client.receive()

        assert client.close_code == CloseCode.UNSUPPORTED


async def test_a_message_too_large_is_refused(server: HttpServer) -> None:
    """By its announced length: it is never held."""
    head = b"\x81\xff" + (MESSAGE_BYTES_MAX + 1).to_bytes(8) + b"mask"
    async with talking(server) as client:
        below(client).write(head)
        await client.receive()

        assert client.close_code == 1009


async def test_frames_without_a_mask_are_refused(server: HttpServer) -> None:
    async with talking(server) as client:
        below(client).write(b"\x81\x01x")
        await client.receive()

        assert client.close_code == CloseCode.PROTOCOL_ERROR


async def test_a_client_that_pongs_is_kept(server: HttpServer, notes: Notes) -> None:
    overheard = Overheard()
    notes.conversation = Conversation(overheard.talk, ping_s=0.01)
    async with talking(server, autoping=False) as client:
        for _ in range(5):
            ping = await client.receive()
            assert ping.type is WSMsgType.PING
            await client.pong(ping.data)

        assert not overheard.ended.is_set()


async def test_a_silent_client_is_lost(server: HttpServer, notes: Notes) -> None:
    overheard = Overheard()
    notes.conversation = Conversation(overheard.talk, ping_s=0.01)
    async with talking(server, autoping=False):
        assert (await overheard.has_ended()).code == CloseCode.ABNORMAL


async def test_a_flood_waits_until_it_is_received(
    server: HttpServer, notes: Notes
) -> None:
    """A client that talks without end is not read; nothing of it is lost."""
    overheard = Overheard()
    notes.conversation = Conversation(overheard.talk)
    async with talking(server) as client:
        for number in range(100):
            await client.send_str(f"{number}")
        overheard.go_on.set()
        await client.close()

    await overheard.has_ended()
    assert overheard.heard == [b"%d" % number for number in range(100)]


async def test_a_slow_client_gets_all(server: HttpServer, notes: Notes) -> None:
    overheard = Overheard(replies=20)
    notes.conversation = Conversation(overheard.talk)
    async with talking(server) as client:
        for _ in range(20):
            assert len(await client.receive_str()) == 1_000_000
