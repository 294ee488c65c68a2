"""Calls that come from other members: each done once, however often it is asked for."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from tremula.infra.bus import Bus
from tremula.infra.clock import Clock
from tremula.infra.cluster.messages import (
    Outcome,
    Reply,
    Request,
    pack,
    unpack_request,
)
from tremula.infra.supervisor import Supervisor

log = structlog.get_logger(__name__)

PENDING_S: Final = 2.0
"""After so long a caller is told that its call is being done."""
REMEMBERED_S: Final = 60.0
"""So long after its end a call is answered without being done again: longer than any
caller goes on asking."""
PIECES_BYTES_MAX: Final = 512 * 1024 * 1024
"""Of commands that are not complete yet, all together."""

Perform = Callable[[Request], Awaitable[Reply]]


class _Pieces(Struct):
    begun_s: float
    parts: dict[int, bytes]


class CallServer:
    """Answers requests with what *perform* says, and remembers that."""

    def __init__(
        self, perform: Perform, bus: Bus, supervisor: Supervisor, clock: Clock
    ) -> None:
        self._perform = perform
        self._bus = bus
        self._supervisor = supervisor
        self._clock = clock
        self._replies: dict[str, asyncio.Future[Reply]] = {}
        self._ended: deque[tuple[float, str]] = deque()
        self._pieces: dict[str, _Pieces] = {}

    async def respond(self, raw: bytes) -> bytes:
        """Answer a request that came over the bus."""
        self._forget()
        try:
            request = unpack_request(raw)
        except msgspec.MsgspecError as error:
            log.warning("cluster_call_unreadable", reason=str(error))
            return pack(Reply(Outcome.FAILED))
        reply = self._replies.get(request.id)
        if reply is None:
            if not request.pieces:
                return pack(Reply(Outcome.MOVED))
            whole = self._assembled(request)
            if whole is None:
                return pack(Reply(Outcome.PENDING))
            reply = self._begin(whole)
        is_last = request.piece >= request.pieces - 1
        await asyncio.wait([reply], timeout=PENDING_S if is_last else 0)
        if not reply.done():
            return pack(Reply(Outcome.PENDING))
        packed = pack(reply.result())
        if len(packed) > self._bus.payload_bytes_max:
            log.error("cluster_answer_too_large", size_bytes=len(packed))
            return pack(Reply(Outcome.FAILED))
        return packed

    def _begin(self, request: Request) -> asyncio.Future[Reply]:
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._replies[request.id] = reply
        self._supervisor.run_once("cluster_call", partial(self._do, request, reply))
        return reply

    async def _do(self, request: Request, reply: asyncio.Future[Reply]) -> None:
        # Also when it fails, and when the process ends.
        outcome = Reply(Outcome.FAILED)
        try:
            outcome = await self._perform(request)
        finally:
            reply.set_result(outcome)
            if outcome.outcome in {Outcome.MOVED, Outcome.UNAVAILABLE}:
                # Nothing was done: it may well be next time.
                del self._replies[request.id]
            else:
                self._ended.append((self._clock.monotonic_s(), request.id))

    def _assembled(self, request: Request) -> Request | None:
        """*request* with its whole command, once all of it is here."""
        if request.pieces == 1:
            return request
        pieces = self._pieces.get(request.id)
        if pieces is None:
            pieces = _Pieces(self._clock.monotonic_s(), {})
            self._pieces[request.id] = pieces
        pieces.parts[request.piece] = request.command
        if len(pieces.parts) < request.pieces:
            self._bound_pieces()
            return None
        del self._pieces[request.id]
        parts = (pieces.parts[number] for number in range(request.pieces))
        return Request(request.id, request.kind, request.key, b"".join(parts))

    def _bound_pieces(self) -> None:
        sizes = {
            call: sum(map(len, pieces.parts.values()))
            for call, pieces in self._pieces.items()
        }
        while sum(sizes.values()) > PIECES_BYTES_MAX:
            oldest = next(iter(sizes))
            log.warning("cluster_call_too_large", size_bytes=sizes.pop(oldest))
            del self._pieces[oldest]

    def _forget(self) -> None:
        before_s = self._clock.monotonic_s() - REMEMBERED_S
        while self._ended and self._ended[0][0] < before_s:
            del self._replies[self._ended.popleft()[1]]
        # In the order of their beginning.
        while self._pieces:
            call, pieces = next(iter(self._pieces.items()))
            if pieces.begun_s >= before_s:
                return
            del self._pieces[call]
