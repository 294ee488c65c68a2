"""The bus over a real NATS server: messages, requests, restarts."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from tests.infra.bus.connecting import DEADLINE_S, connected, start
from tests.nats_server import NatsServer, running_nats
from tremula.infra.bus import (
    Answer,
    BusTimeout,
    BusUnavailable,
    NoResponder,
    PayloadTooLarge,
)
from tremula.infra.bus.nats_bus import NatsBus
from tremula.infra.supervisor import Supervisor


async def taken(queue: asyncio.Queue[bytes], count: int) -> list[bytes]:
    async with asyncio.timeout(DEADLINE_S):
        return [await queue.get() for _ in range(count)]


def double(payload: bytes, answer: Answer) -> None:
    answer(payload * 2)


async def test_whoever_listens_gets_what_is_published_in_order(
    nats: NatsServer, supervisor: Supervisor
) -> None:
    sender = await connected(supervisor, nats.url)
    receiver = await connected(supervisor, nats.url)
    received: asyncio.Queue[bytes] = asyncio.Queue()
    await receiver.subscribe("news.*", received.put_nowait)
    # Its answer says that the server knows of the subscription before it.
    await receiver.serve("double", double)
    await receiver.request("double", b"", DEADLINE_S)

    for number in range(100):
        await sender.publish(f"news.{number % 3}", b"%d" % number)

    assert await taken(received, 100) == [b"%d" % number for number in range(100)]


async def test_a_request_is_answered_by_who_serves_it(
    nats: NatsServer, supervisor: Supervisor
) -> None:
    server = await connected(supervisor, nats.url)
    await server.serve("double", double)
    await server.request("double", b"", DEADLINE_S)
    caller = await connected(supervisor, nats.url)

    answers = await asyncio.gather(
        *(caller.request("double", b"%d" % number, DEADLINE_S) for number in range(50))
    )

    assert answers == [b"%d%d" % (number, number) for number in range(50)]


async def test_requests_are_served_side_by_side(
    nats: NatsServer, supervisor: Supervisor
) -> None:
    bus = await connected(supervisor, nats.url)
    met: list[tuple[bytes, Answer]] = []

    def meet(payload: bytes, answer: Answer) -> None:
        met.append((payload, answer))
        if len(met) == 2:
            for each, tell in reversed(met):
                tell(each)

    await bus.serve("meet", meet)

    first, second = await asyncio.gather(
        bus.request("meet", b"1", DEADLINE_S), bus.request("meet", b"2", DEADLINE_S)
    )

    assert (first, second) == (b"1", b"2")


async def test_nothing_is_missed_that_begins_while_it_connects(
    nats: NatsServer, supervisor: Supervisor
) -> None:
    watched = start(supervisor, nats.url)
    subjects = [f"double.{number}" for number in range(200)]
    for subject in subjects:
        await watched.bus.serve(subject, double)
        await asyncio.sleep(0)
    if not watched.bus.is_connected:
        await watched.until(is_connected=True)

    for subject in subjects:
        assert await watched.bus.request(subject, b"2", DEADLINE_S) == b"22"


async def test_it_is_known_at_once_that_nobody_serves(
    nats: NatsServer, supervisor: Supervisor
) -> None:
    bus = await connected(supervisor, nats.url)

    with pytest.raises(NoResponder):
        await bus.request("nobody", b"", DEADLINE_S)


async def test_only_those_fail_whom_nobody_serves(
    nats: NatsServer, supervisor: Supervisor
) -> None:
    bus = await connected(supervisor, nats.url)
    await bus.serve("double", double)

    outcomes = await asyncio.gather(
        bus.request("nobody", b"1", DEADLINE_S),
        bus.request("double", b"2", DEADLINE_S),
        bus.request("nobody", b"3", DEADLINE_S),
        return_exceptions=True,
    )

    assert [type(each) for each in outcomes] == [NoResponder, bytes, NoResponder]


async def test_an_answer_that_does_not_come_is_not_awaited_for_ever(
    nats: NatsServer, supervisor: Supervisor
) -> None:
    bus = await connected(supervisor, nats.url)
    await bus.serve("hang", lambda _, __: None)

    with pytest.raises(BusTimeout):
        await bus.request("hang", b"", 0.01)


async def test_a_message_past_the_limit_of_the_server_is_refused(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    with running_nats(tmp_path, "max_payload: 1024") as server:
        bus = await connected(supervisor, server.url)

        assert bus.payload_bytes_max < 1024
        with pytest.raises(PayloadTooLarge):
            await bus.publish("large", bytes(1025))
        with pytest.raises(PayloadTooLarge):
            await bus.request("large", bytes(bus.payload_bytes_max + 1), DEADLINE_S)


async def test_requests_at_once_are_as_many_messages_as_the_server_takes(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    """None is too large for it, and none comes short."""

    def same(payload: bytes, answer: Answer) -> None:
        answer(payload)

    with running_nats(tmp_path, "max_payload: 1024") as server:
        bus = await connected(supervisor, server.url)
        await bus.serve("same", same)
        largest = bytes(bus.payload_bytes_max)
        payloads = [largest, *(b"%d" % number for number in range(300)), largest]

        answers = await asyncio.gather(
            *(bus.request("same", payload, DEADLINE_S) for payload in payloads)
        )

        assert answers == payloads


async def until_served(bus: NatsBus, subject: str) -> None:
    """Ask until somebody is there who answers."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with suppress(NoResponder):
                await bus.request(subject, b"", DEADLINE_S)
                return


async def test_requests_at_once_share_a_message_and_so_do_their_answers(
    nats: NatsServer, supervisor: Supervisor
) -> None:
    caller = await connected(supervisor, nats.url)
    server = await connected(supervisor, nats.url)
    observer = await connected(supervisor, nats.url)
    messages: list[bytes] = []
    await server.serve("double", double)
    # NATS knows of it, before one listens whom it would take for somebody that answers.
    await until_served(caller, "double")
    await observer.subscribe(">", messages.append)
    # What one connection says is heard in its order.
    await observer.request("double", b"", DEADLINE_S)
    messages.clear()

    await asyncio.gather(
        *(caller.request("double", b"%d" % number, DEADLINE_S) for number in range(50))
    )

    await observer.request("double", b"", DEADLINE_S)
    assert len(messages) <= 6


async def test_after_a_restart_everything_is_as_before(
    nats: NatsServer, supervisor: Supervisor
) -> None:
    watched = start(supervisor, nats.url)
    bus = watched.bus
    received: asyncio.Queue[bytes] = asyncio.Queue()
    await bus.subscribe("news", received.put_nowait)
    await bus.serve("double", double)
    await watched.until(is_connected=True)

    for number in range(3):
        nats.stop()
        await watched.until(is_connected=False)
        with pytest.raises(BusUnavailable):
            await bus.publish("news", b"lost")
        nats.start()
        await watched.until(is_connected=True)

        assert await bus.request("double", b"%d" % number, DEADLINE_S)
        await bus.publish("news", b"%d" % number)
        assert await taken(received, 1) == [b"%d" % number]


async def test_who_waits_for_an_answer_learns_that_the_connection_is_lost(
    nats: NatsServer, supervisor: Supervisor
) -> None:
    bus = await connected(supervisor, nats.url)
    asked = asyncio.Event()
    await bus.serve("hang", lambda _, __: asked.set())

    async def crash() -> None:
        await asked.wait()
        nats.stop()

    [outcome, _] = await asyncio.gather(
        bus.request("hang", b"", DEADLINE_S), crash(), return_exceptions=True
    )

    assert isinstance(outcome, BusUnavailable)


async def test_another_server_takes_over(
    nats: NatsServer, tmp_path: Path, supervisor: Supervisor
) -> None:
    with running_nats(tmp_path) as other:
        nats.stop()
        watched = start(supervisor, nats.url, other.url)
        await watched.until(is_connected=True)
        other.stop()
        await watched.until(is_connected=False)
        nats.start()
        await watched.until(is_connected=True)

    assert watched.bus.is_connected


async def test_a_responder_that_fails_keeps_no_answer_from_others(
    nats: NatsServer, supervisor: Supervisor
) -> None:
    bus = await connected(supervisor, nats.url)

    def halve(payload: bytes, answer: Answer) -> None:
        answer(b"%d" % (2 // int(payload)))

    await bus.serve("halve", halve)

    failing, answered = await asyncio.gather(
        bus.request("halve", b"0", 0.1),
        bus.request("halve", b"1", DEADLINE_S),
        return_exceptions=True,
    )

    assert isinstance(failing, BusTimeout)
    assert answered == b"2"
