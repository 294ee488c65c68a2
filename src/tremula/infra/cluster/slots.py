"""Slots of a cluster: a call for what is held here is a call, another one travels."""

import secrets
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import structlog
from msgspec import Struct

from tremula.infra.bus import Bus, BusError
from tremula.infra.clock import Clock
from tremula.infra.cluster.in_flight import InFlight
from tremula.infra.cluster.keeper import LeaseKeeper
from tremula.infra.cluster.messages import (
    Outcome,
    Reply,
    Request,
    Wire,
    pack,
    unpack_reply,
)
from tremula.infra.cluster.metrics import CallMetrics
from tremula.infra.cluster.serving import PENDING_S, CallServer
from tremula.infra.db import SlotLost
from tremula.infra.slots import (
    CallTypes,
    Doing,
    SlotHandler,
    SlotLease,
    SlotsChanged,
    slot_of,
)
from tremula.infra.supervisor import Supervisor
from tremula.protocol.errors import Unknown

log = structlog.get_logger(__name__)

DEADLINE_S: Final = 10.0
"""So long a caller looks for whoever does its command; twice what a crash needs."""
_REQUEST_TIMEOUT_S: Final = PENDING_S + 1
_RETRY_S: Final = 0.25
_RETRY_AFTER_MS: Final = 5_000
_OVERHEAD_BYTES: Final = 1_024


class _Call(Struct, frozen=True):
    """A command for the holder of a slot, who is another."""

    id: str
    kind: str
    key: str
    slot: int
    packed: bytes


class ClusterSlots:
    """Implements ``Slots`` among the members of a cluster."""

    def __init__(
        self,
        keeper: LeaseKeeper,
        *,
        bus: Bus,
        subject: str,
        supervisor: Supervisor,
        clock: Clock,
        in_flight: InFlight,
        metrics: CallMetrics,
    ) -> None:
        self._keeper = keeper
        self._bus = bus
        self._subject = f"{subject}.calls"
        self._clock = clock
        self._in_flight = in_flight
        self._metrics = metrics
        self._server = CallServer(self._perform, bus, supervisor, clock)
        self._handlers: dict[str, SlotHandler] = {}
        self._wires: dict[str, Wire] = {}
        self.turn: Callable[[], Awaitable[None]] = _at_once
        """Waits until commands shall be done, several together."""

    async def open(self) -> None:
        """Hold slots from now on, and do what other members ask for."""
        subject = f"{self._subject}.{self._keeper.member}"
        await self._bus.serve(subject, self._server.respond)
        await self._keeper.open()

    def register(
        self, kind: str, handler: SlotHandler, types: CallTypes | None = None
    ) -> None:
        """See ``Slots.register``."""
        assert kind not in self._handlers, f"{kind} has a handler already"
        self._handlers[kind] = handler
        if types is not None:
            self._wires[kind] = Wire(types)

    def lease(self, key: str) -> SlotLease:
        """See ``Slots.lease``."""
        slot = slot_of(key)
        lease = self._keeper.lease(slot)
        if lease is None:
            raise SlotLost(f"slot {slot} is not held here")
        return lease

    def holds(self, key: str) -> bool:
        """See ``Slots.holds``."""
        # Also while a heartbeat is late: who follows what holds its slots is told when
        # they go. What it stores is fenced.
        return slot_of(key) in self._keeper.slots

    def on_taken(self, callback: SlotsChanged) -> None:
        """See ``Slots.on_taken``."""
        self._keeper.on_taken(callback)

    def on_gone(self, callback: SlotsChanged) -> None:
        """See ``Slots.on_gone``."""
        self._keeper.on_gone(callback)

    async def call(self, kind: str, key: str, command: Any) -> Any:  # noqa: ANN401 - the kind fixes both types
        """See ``Slots.call``.

        Raises:
            Unknown: nobody could be found in time who would do it (503).
        """
        slot = slot_of(key)
        call: _Call | None = None
        is_begun = False
        deadline_s = self._clock.monotonic_s() + DEADLINE_S
        while True:
            if self._keeper.lease(slot) is not None:
                try:
                    return await self._do_here(kind, key, slot, command)
                except SlotLost as error:
                    log.info("cluster_slot_lost", slot=slot, reason=str(error))
            else:
                if call is None:
                    packed = self._wires[kind].pack_command(command)
                    call = _Call(secrets.token_hex(16), kind, key, slot, packed)
                reply = await self._travel(call, is_begun=is_begun)
                is_begun = reply is not None and reply.outcome is Outcome.PENDING
                if is_begun:
                    # Somebody is at it: however long that takes.
                    deadline_s = self._clock.monotonic_s() + DEADLINE_S
                    continue
                if reply is not None and reply.outcome is not Outcome.MOVED:
                    return self._wires[kind].result(reply)
            await self._keeper.look_again(_RETRY_S)
            if self._clock.monotonic_s() >= deadline_s:
                break
        self._metrics.given_up()
        raise Unknown(
            "this part of the server is moving, try again soon",
            status=503,
            retry_after_ms=_RETRY_AFTER_MS,
        )

    async def _do_here(self, kind: str, key: str, slot: int, command: Any) -> Any:  # noqa: ANN401 - the kind fixes both types
        await self.turn()
        lease = self._keeper.lease(slot)
        if lease is None:
            raise SlotLost(f"slot {slot} is not held here any more")
        self._in_flight.begin(slot)
        try:
            with Doing(lease):
                return await self._handlers[kind](key, command)
        finally:
            self._in_flight.end(slot)

    async def _travel(self, call: _Call, *, is_begun: bool) -> Reply | None:
        """Ask the holder; None if there is none, or no answer.

        Where the call is being done its command need not be sent again.
        """
        holder = self._keeper.holder(call.slot)
        if holder is None or holder.id == self._keeper.member:
            return None
        subject = f"{self._subject}.{holder.id}"
        started_s = self._clock.monotonic_s()
        reply: Reply | None = None
        try:
            for request in self._requests(call, b"" if is_begun else call.packed):
                raw = await self._bus.request(
                    subject, pack(request), _REQUEST_TIMEOUT_S
                )
                reply = unpack_reply(raw)
                if reply.outcome is not Outcome.PENDING:
                    break
        except BusError as error:
            log.info("cluster_call_unanswered", holder=holder.id, reason=repr(error))
            self._metrics.unanswered()
            return None
        assert reply is not None, "there is one request at least"
        self._metrics.answered(reply.outcome, self._clock.monotonic_s() - started_s)
        return reply

    def _requests(self, call: _Call, packed: bytes) -> Iterator[Request]:
        if not packed:
            yield Request(call.id, call.kind, call.key, b"", 0, 0)
            return
        size = self._bus.payload_bytes_max - _OVERHEAD_BYTES
        pieces = -(-len(packed) // size)
        for piece in range(pieces):
            part = packed[piece * size : (piece + 1) * size]
            yield Request(call.id, call.kind, call.key, part, piece, pieces)

    async def _perform(self, request: Request) -> Reply:
        """Do what another member asks for."""
        wire, slot = self._wires[request.kind], slot_of(request.key)
        if self._keeper.lease(slot) is None:
            return Reply(Outcome.MOVED)
        command = wire.unpack_command(request.command)
        try:
            done = await self._do_here(request.kind, request.key, slot, command)
            return wire.answered(done)
        except SlotLost:
            return Reply(Outcome.MOVED)
        except Exception as error:
            reply = wire.raised(error)
            if reply is None:
                raise
            return reply


async def _at_once() -> None:
    """Unless there is a database to say when."""
