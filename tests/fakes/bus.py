"""A bus in memory: many members, with delay, loss and partitions under a seed."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tremula.infra.bus import (
    BusTimeout,
    BusUnavailable,
    Listener,
    NoResponder,
    PayloadTooLarge,
    Responder,
)


@dataclass(slots=True)
class FakeNetwork:
    """What lies between the members.

    Messages take up to ``delay_s`` of the loop's time, those of one member to another
    in order; ``loss`` is the part of them that gets lost.
    """

    seed: int = 0
    delay_s: float = 0.0
    loss: float = 0.0
    payload_bytes_max: int = 1024 * 1024
    members: "list[FakeBus]" = field(default_factory=list)
    requests: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - no secret

    def member(self) -> "FakeBus":
        """A new member, connected."""
        bus = FakeBus(self)
        self.members.append(bus)
        return bus

    def deliver(self, receiver: "FakeBus", take: Callable[[], None]) -> None:
        """Call *take* later, if the message is not lost, and *receiver* not cut off."""
        if self.loss and self._random.random() < self.loss:
            return
        loop = asyncio.get_running_loop()
        receiver.coming.append(take)
        loop.call_later(self.delay_s * self._random.random(), receiver.arrive)


@dataclass(eq=False, slots=True)
class FakeBus:
    """Implements ``Bus`` for one member; set `is_connected` by `cut` and `heal`."""

    network: FakeNetwork
    is_connected: bool = True
    coming: deque[Callable[[], None]] = field(default_factory=deque)
    listeners: list[tuple[str, Listener]] = field(default_factory=list)
    responders: dict[str, Responder] = field(default_factory=dict)
    callbacks: list[Callable[[bool], None]] = field(default_factory=list)
    waiting: set[asyncio.Future[bytes]] = field(default_factory=set)

    @property
    def payload_bytes_max(self) -> int:
        """That of the network."""
        return self.network.payload_bytes_max

    def arrive(self) -> None:
        """Take what was sent first of what is on its way."""
        take = self.coming.popleft()
        if self.is_connected:
            take()

    def cut(self) -> None:
        """Lose the connection."""
        self._connect(is_connected=False)
        for answer in self.waiting:
            if not answer.done():
                answer.set_exception(BusUnavailable("cut off"))

    def heal(self) -> None:
        """Have it back."""
        self._connect(is_connected=True)

    def on_state(self, callback: Callable[[bool], None]) -> None:
        """See ``Bus.on_state``."""
        self.callbacks.append(callback)

    async def subscribe(self, subject: str, listener: Listener) -> None:
        """See ``Bus.subscribe``."""
        self.listeners.append((subject, listener))

    async def serve(self, subject: str, responder: Responder) -> None:
        """See ``Bus.serve``."""
        self.responders[subject] = responder

    async def publish(self, subject: str, payload: bytes) -> None:
        """See ``Bus.publish``."""
        self._check(payload)
        for member in self.network.members:
            for pattern, listener in member.listeners:
                if _matches(pattern, subject):
                    self.network.deliver(member, partial(listener, payload))

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """See ``Bus.request``."""
        self._check(payload)
        self.network.requests += 1
        serving = [
            member
            for member in self.network.members
            if subject in member.responders and member.is_connected
        ]
        if not serving:
            raise NoResponder(f"nobody serves {subject}")
        server = serving[0]
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.waiting.add(answer)

        def tell(told: bytes) -> None:
            if server.is_connected:
                self.network.deliver(self, partial(_settle, answer, told))

        self.network.deliver(server, lambda: server.responders[subject](payload, tell))
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise BusTimeout(f"no answer within {timeout_s} s") from None
        finally:
            self.waiting.discard(answer)

    def _check(self, payload: bytes) -> None:
        if not self.is_connected:
            raise BusUnavailable("cut off")
        if len(payload) > self.payload_bytes_max:
            raise PayloadTooLarge(f"{len(payload)} bytes")

    def _connect(self, *, is_connected: bool) -> None:
        self.is_connected = is_connected
        for callback in self.callbacks:
            callback(is_connected)


def _settle(answer: asyncio.Future[bytes], told: bytes) -> None:
    if not answer.done():
        answer.set_result(told)


def _matches(pattern: str, subject: str) -> bool:
    if not pattern.endswith(".*"):
        return pattern == subject
    stem, _, last = subject.rpartition(".")
    return stem == pattern[:-2] and bool(last)
