"""A bridge that opens a websocket, as mautrix and heisenbridge do."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson
from aiohttp import ClientWebSocketResponse, WSMsgType

from tests.features.appservices.registrations import namespaces, registration
from tests.server import Server
from tremula.infra.config import Listener
from tremula.infra.http.server import HttpServer
from tremula.protocol.appservices import Registration

PATH: Final = "/_matrix/client/unstable/fi.mau.as_sync"
DEADLINE_S: Final = 60


@dataclass(frozen=True, slots=True)
class Listening:
    """A server whose processes listen, each on a port of its own."""

    server: Server
    ports: Sequence[int]
    http: Sequence[HttpServer]

    def url(self, process: int = 0) -> str:
        """Where websockets are opened; with few processes, the last has the rest."""
        return f"ws://127.0.0.1:{self.ports[min(process, len(self.ports) - 1)]}{PATH}"


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[Listening]:
    """Have each process of *server* listen."""
    http = [app.http_server() for app in server.apps]
    for each in http:
        await each.listen([Listener(port=0)])
    yield Listening(server, [each.ports[0] for each in http], http)
    for each in http:
        await each.stop(grace_s=5)


def websocket_registration(**changes: Any) -> Registration:  # noqa: ANN401 - any key
    """A bridge without an address, to whom events come all the same."""
    users = namespaces(users="@_irc_.*", exclusive=False)
    return registration("irc", **{"push": False, "namespaces": users, **changes})


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge's end of a websocket."""

    socket: ClientWebSocketResponse

    async def receive(self) -> dict[str, Any]:
        """The next frame."""
        frame: dict[str, Any] = orjson.loads(await self.socket.receive_str())
        return frame

    async def transaction(self, *, acknowledge: bool = True) -> dict[str, Any]:
        """The next frame, which must be a transaction; it is acknowledged."""
        frame = await self.receive()
        assert frame["command"] == "transaction", frame
        if acknowledge:
            await self.say("response", frame["id"], {"txn_id": frame["txn_id"]})
        return frame

    async def say(self, command: str, request_id: int, data: object) -> None:
        """Send a frame."""
        frame = {"command": command, "id": request_id, "data": data}
        await self.socket.send_str(orjson.dumps(frame).decode())

    async def ask(self, command: str, data: object) -> dict[str, Any]:
        """Send a frame, and receive its answer."""
        await self.say(command, 7, data)
        answer = await self.receive()
        assert answer["id"] == 7
        return answer

    async def closed(self) -> tuple[int, dict[str, Any]]:
        """The close frame, which is the next one: its code and its reason."""
        message = await self.socket.receive()
        assert message.type is WSMsgType.CLOSE, message
        return message.data, orjson.loads(message.extra or "{}")


@asynccontextmanager
async def connected(
    listening: Listening, registered: Registration, process: int = 0
) -> AsyncGenerator[Bridge]:
    """Open a websocket; the first frame has been received."""
    headers = {
        "Authorization": f"Bearer {registered.as_token}",
        "X-Mautrix-Websocket-Version": "3",
    }
    async with (
        asyncio.timeout(DEADLINE_S),
        aiohttp.ClientSession(headers=headers) as session,
        session.ws_connect(listening.url(process), autoclose=False) as socket,
    ):
        bridge = Bridge(socket)
        assert await bridge.receive() == {"command": "connect", "status": "connected"}
        yield bridge
