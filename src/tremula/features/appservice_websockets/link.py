"""One websocket: what is asked by either side, and what is answered."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Final

from tremula.infra.http.websocket import CloseCode, WebSocket, WebSocketClosed
from tremula.protocol.appservice_websocket import (
    CONNECTED,
    ERROR_CODE_UNKNOWN_COMMAND,
    NOT_ACKNOWLEDGED,
    Frame,
    ProxiedRequest,
    ProxiedResponse,
    disconnect_reason,
    error_frame,
    http_proxy_frame,
    parse_error,
    parse_frame,
    parse_proxied_response,
    response_frame,
    transaction_frame,
)
from tremula.protocol.errors import MatrixError
from tremula.protocol.json import parse_json

ACKNOWLEDGED_S: Final = 60.0
"""So long an application service may take to pass a transaction on."""

Take = Callable[[object], Awaitable[None]]
"""Takes the data of a command.

Raises:
    MatrixError: it is not accepted.
"""


class NotAnswered(Exception):
    """The other side has refused, or it has gone."""


class NotAnsweredInTime(NotAnswered):
    """The other side says nothing to it."""


class Link:
    """A conversation; *commands* take what the other side says by itself."""

    def __init__(
        self,
        socket: WebSocket,
        commands: Mapping[str, Take],
        now_ms: Callable[[], int],
        *,
        acknowledged_s: float = ACKNOWLEDGED_S,
    ) -> None:
        self._socket = socket
        self._commands = commands
        self._now_ms = now_ms
        self._acknowledged_s = acknowledged_s
        self._ids = count(1)
        self._asked: dict[int, asyncio.Future[bytes]] = {}

    async def listen(self) -> None:
        """Take what comes, for ever.

        Raises:
            WebSocketClosed: the conversation is over.
        """
        try:
            await self._socket.send(CONNECTED)
            while True:
                try:
                    frame = parse_frame(await self._socket.receive())
                except MatrixError as error:
                    self._socket.close(CloseCode.PROTOCOL_ERROR, error.errcode)
                    continue
                await self._take(frame)
        finally:
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(NotAnswered("its websocket was closed"))

    async def deliver(self, txn_id: str, body: bytes) -> None:
        """Have a transaction taken.

        Raises:
            NotAnswered: it was not, or that is not known.
        """
        request_id = next(self._ids)
        frame = transaction_frame(request_id, txn_id, body)
        try:
            await self._ask(request_id, frame, self._acknowledged_s)
        except NotAnsweredInTime:
            reason = disconnect_reason("transactions_not_acknowledged")
            self.close(NOT_ACKNOWLEDGED, reason)
            raise

    async def request(
        self, request: ProxiedRequest, *, timeout_s: float
    ) -> ProxiedResponse:
        """Have a request answered.

        Raises:
            NotAnswered: it was not.
        """
        request_id = next(self._ids)
        frame = http_proxy_frame(request_id, request)
        data = await self._ask(request_id, frame, timeout_s)
        try:
            return parse_proxied_response(data)
        except MatrixError as error:
            raise NotAnswered("its answer is none") from error

    def close(self, code: int, reason: str) -> None:
        """End the conversation."""
        self._socket.close(code, reason)

    async def _ask(self, request_id: int, frame: bytes, timeout_s: float) -> bytes:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[request_id] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self._socket.send(frame)
                return await answer
        except TimeoutError as error:
            raise NotAnsweredInTime("there was no answer in time") from error
        except WebSocketClosed as error:
            raise NotAnswered("its websocket was closed") from error
        finally:
            del self._asked[request_id]

    async def _take(self, frame: Frame) -> None:
        match frame.command:
            case "response":
                self._answered(frame.id, bytes(frame.data))
            case "error":
                error = parse_error(bytes(frame.data))
                self._answered(frame.id, NotAnswered(f"it said {error.code!r}"))
            case "ping":
                await self._respond(frame, {"timestamp": self._now_ms()})
            case _:
                await self._obey(frame)

    async def _obey(self, frame: Frame) -> None:
        take = self._commands.get(frame.command)
        if take is None:
            await self._refuse(frame, ERROR_CODE_UNKNOWN_COMMAND, "unknown command")
            return
        try:
            await take(parse_json(bytes(frame.data)))
        except MatrixError as error:
            await self._refuse(frame, error.errcode, error.message)
        else:
            await self._respond(frame, {})

    def _answered(self, request_id: int, answer: bytes | NotAnswered) -> None:
        asked = self._asked.get(request_id)
        if asked is None or asked.done():
            # It came too late, or was never asked for.
            return
        if isinstance(answer, bytes):
            asked.set_result(answer)
        else:
            asked.set_exception(answer)

    async def _respond(self, frame: Frame, data: dict[str, int]) -> None:
        if frame.wants_answer:
            await self._socket.send(response_frame(frame.id, data))

    async def _refuse(self, frame: Frame, code: str, message: str) -> None:
        if frame.wants_answer:
            await self._socket.send(error_frame(frame.id, code, message))
