"""Calls that come from other members: each done once, however often it is asked for."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec
import structlog
from msgspec import Struct, field

from tremula.infra.bus import Answer, Bus
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

_PENDING: Final = pack(Reply(Outcome.PENDING))
_MOVED: Final = pack(Reply(Outcome.MOVED))
_FAILED: Final = pack(Reply(Outcome.FAILED))

Perform = Callable[[Request], Awaitable[Reply]]


class _Pieces(Struct):
    begun_s: float
    parts: dict[int, bytes]


class _Call(Struct):
    """A call that has begun: its reply, or who waits for that."""

    reply: bytes | None = None
    waiting: list[Answer] = field(default_factory=list)


class CallServer:
    """Answers requests with what *perform* says, and remembers that.

    A request is one task; that its caller is told when it takes long costs it an entry
    in a queue.
    """

    def __init__(
        self, perform: Perform, bus: Bus, supervisor: Supervisor, clock: Clock
    ) -> None:
        self._perform = perform
        self._bus = bus
        self._supervisor = supervisor
        self._clock = clock
        self._calls: dict[str, _Call] = {}
        # In the order of their beginning: with the loop's time at which to tell those
        # who wait that they have to ask again.
        self._waited_for: deque[tuple[float, _Call]] = deque()
        self._ended: deque[tuple[float, str]] = deque()
        self._pieces: dict[str, _Pieces] = {}

    def respond(self, raw: bytes, answer: Answer) -> None:
        """Answer a request that came over the bus, after `PENDING_S` at the latest."""
        self._forget()
        try:
            request = unpack_request(raw)
        except msgspec.MsgspecError as error:
            log.warning("cluster_call_unreadable", reason=str(error))
            answer(_FAILED)
            return
        call = self._calls.get(request.id)
        if call is None:
            if not request.pieces or self._supervisor.is_stopping:
                answer(_MOVED)
                return
            whole = self._assembled(request)
            if whole is None:
                answer(_PENDING)
                return
            call = self._begin(whole)
        if call.reply is not None:
            answer(call.reply)
        elif request.piece < request.pieces - 1:
            answer(_PENDING)
        else:
            self._wait(call, answer)

    def _begin(self, request: Request) -> _Call:
        call = self._calls[request.id] = _Call()
        self._supervisor.run_once("cluster_call", partial(self._do, request, call))
        return call

    async def _do(self, request: Request, call: _Call) -> None:
        # Also when it fails, and when the process ends.
        reply = Reply(Outcome.FAILED)
        try:
            reply = await self._perform(request)
        finally:
            if reply.outcome in {Outcome.MOVED, Outcome.UNAVAILABLE}:
                # Nothing was done: it may well be next time.
                del self._calls[request.id]
            else:
                self._ended.append((self._clock.monotonic_s(), request.id))
            call.reply = self._packed(reply)
            _tell(call, call.reply)

    def _packed(self, reply: Reply) -> bytes:
        packed = pack(reply)
        if len(packed) > self._bus.payload_bytes_max:
            log.error("cluster_answer_too_large", size_bytes=len(packed))
            return _FAILED
        return packed

    def _wait(self, call: _Call, answer: Answer) -> None:
        if not call.waiting:
            loop = asyncio.get_running_loop()
            if not self._waited_for:
                loop.call_later(PENDING_S, self._tell_pending)
            self._waited_for.append((loop.time() + PENDING_S, call))
        call.waiting.append(answer)

    def _tell_pending(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waited_for and self._waited_for[0][0] <= loop.time():
            _tell(self._waited_for.popleft()[1], _PENDING)
        if self._waited_for:
            loop.call_at(self._waited_for[0][0], self._tell_pending)

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
            del self._calls[self._ended.popleft()[1]]
        # In the order of their beginning.
        while self._pieces:
            call, pieces = next(iter(self._pieces.items()))
            if pieces.begun_s >= before_s:
                return
            del self._pieces[call]


def _tell(call: _Call, reply: bytes) -> None:
    waiting, call.waiting = call.waiting, []
    for answer in waiting:
        answer(reply)
