"""Calls that come over the bus: each is done once, and remembered for a while."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fakes.bus import FakeBus, FakeNetwork
from tests.fakes.clock import FakeClock
from tremula.infra.cluster import serving
from tremula.infra.cluster.messages import (
    Outcome,
    Reply,
    Request,
    pack,
    unpack_reply,
)
from tremula.infra.cluster.serving import REMEMBERED_S, CallServer
from tremula.infra.metrics import Metrics
from tremula.infra.supervisor import Supervisor


class Work:
    """What requests ask for; it answers with the next of ``outcomes``."""

    def __init__(self) -> None:
        self.done: list[Request] = []
        self.outcomes: list[Outcome] = []
        self.answer = b"done"

    async def perform(self, request: Request) -> Reply:
        self.done.append(request)
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome.ANSWERED
        return Reply(outcome, self.answer)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def bus() -> FakeBus:
    return FakeNetwork(payload_bytes_max=1_000).member()


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(Metrics())
    yield supervisor
    await supervisor.stop()


@pytest.fixture
def server(
    work: Work, bus: FakeBus, supervisor: Supervisor, clock: FakeClock
) -> CallServer:
    return CallServer(work.perform, bus, supervisor, clock)


def request(call: str, *, piece: int = 0, pieces: int = 1) -> bytes:
    return pack(Request(call, "kind", "key", b"%d" % piece, piece, pieces))


async def ask(server: CallServer, raw: bytes) -> Reply:
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    server.respond(raw, answered.set_result)
    return unpack_reply(await answered)


async def test_a_call_that_is_repeated_is_done_once(
    server: CallServer, work: Work
) -> None:
    first = asyncio.gather(*(ask(server, request("a")) for _ in range(3)))

    assert set(await first) == {Reply(Outcome.ANSWERED, b"done")}
    assert await ask(server, request("a")) == Reply(Outcome.ANSWERED, b"done")
    assert len(work.done) == 1


async def test_it_is_remembered_for_longer_than_anybody_asks(
    server: CallServer, work: Work, clock: FakeClock
) -> None:
    await ask(server, request("a"))
    clock.advance_ms(int(REMEMBERED_S * 1000))
    await ask(server, request("a"))
    assert len(work.done) == 1

    clock.advance_ms(1)
    await ask(server, request("a"))

    assert len(work.done) == 2


@pytest.mark.parametrize("outcome", [Outcome.MOVED, Outcome.UNAVAILABLE])
async def test_what_was_not_done_may_be_done_later(
    server: CallServer, work: Work, outcome: Outcome
) -> None:
    work.outcomes = [outcome]

    assert (await ask(server, request("a"))).outcome is outcome
    assert (await ask(server, request("a"))).outcome is Outcome.ANSWERED


async def test_pieces_come_in_any_order_and_more_than_once(
    server: CallServer, work: Work
) -> None:
    for piece in (2, 0, 2):
        reply = await ask(server, request("a", piece=piece, pieces=3))
        assert reply.outcome is Outcome.PENDING

    await ask(server, request("a", piece=1, pieces=3))
    reply = await ask(server, request("a", pieces=0))

    assert reply.outcome is Outcome.ANSWERED
    assert [each.command for each in work.done] == [b"012"]


async def test_pieces_of_a_call_that_was_given_up_are_forgotten(
    server: CallServer, work: Work, clock: FakeClock
) -> None:
    await ask(server, request("a", piece=0, pieces=2))
    clock.advance_ms(int(REMEMBERED_S * 1000) + 1)

    reply = await ask(server, request("a", piece=1, pieces=2))

    assert reply.outcome is Outcome.PENDING
    assert not work.done


async def test_who_asks_how_a_call_goes_begins_none(
    server: CallServer, work: Work
) -> None:
    assert (await ask(server, request("a", pieces=0))).outcome is Outcome.MOVED
    await ask(server, request("a"))

    assert (await ask(server, request("a", pieces=0))).outcome is Outcome.ANSWERED
    assert len(work.done) == 1


async def test_an_answer_that_is_too_large_is_a_failure(
    server: CallServer, work: Work
) -> None:
    work.answer = bytes(2_000)

    assert (await ask(server, request("a"))).outcome is Outcome.FAILED


async def test_what_cannot_be_read_is_a_failure(server: CallServer) -> None:
    assert (await ask(server, b"\xc1")).outcome is Outcome.FAILED


async def test_who_ends_does_nothing_more_and_says_so(
    server: CallServer, supervisor: Supervisor, work: Work
) -> None:
    await ask(server, request("a"))
    await supervisor.stop()

    assert (await ask(server, request("a"))).outcome is Outcome.ANSWERED
    assert (await ask(server, request("b"))).outcome is Outcome.MOVED
    assert len(work.done) == 1


async def test_who_waits_for_long_is_told_to_ask_again(
    bus: FakeBus,
    supervisor: Supervisor,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving, "PENDING_S", 0.01)
    is_done = asyncio.Event()

    async def perform(_: Request) -> Reply:
        await is_done.wait()
        return Reply(Outcome.ANSWERED)

    server = CallServer(perform, bus, supervisor, clock)
    both = await asyncio.gather(ask(server, request("a")), ask(server, request("b")))
    asked_again = asyncio.gather(
        ask(server, request("a", pieces=0)), ask(server, request("b", pieces=0))
    )
    is_done.set()

    assert [each.outcome for each in both] == [Outcome.PENDING] * 2
    assert [each.outcome for each in await asked_again] == [Outcome.ANSWERED] * 2
