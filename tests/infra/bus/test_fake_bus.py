"""The fake bus keeps the promises of the real one, as far as tests lean on them."""

import asyncio

import pytest

from tests.fakes.bus import FakeNetwork
from tremula.infra.bus import (
    Answer,
    BusTimeout,
    BusUnavailable,
    NoResponder,
    PayloadTooLarge,
)


def double(payload: bytes, answer: Answer) -> None:
    answer(payload * 2)


async def test_everybody_listens_in_order() -> None:
    network = FakeNetwork(seed=1, delay_s=0.002)
    sender, receiver = network.member(), network.member()
    received: asyncio.Queue[bytes] = asyncio.Queue()
    await receiver.subscribe("news.*", received.put_nowait)

    for number in range(20):
        await sender.publish("news.1", b"%d" % number)

    got = [await received.get() for _ in range(20)]
    assert got == [b"%d" % number for number in range(20)]


async def test_requests_find_who_serves() -> None:
    network = FakeNetwork(payload_bytes_max=10)
    caller, server = network.member(), network.member()
    await server.serve("double", double)

    assert await caller.request("double", b"2", 1) == b"22"
    with pytest.raises(NoResponder):
        await caller.request("halve", b"2", 1)
    with pytest.raises(PayloadTooLarge):
        await caller.request("double", bytes(11), 1)


async def test_messages_get_lost() -> None:
    network = FakeNetwork(loss=1)
    caller, server = network.member(), network.member()
    await server.serve("double", double)

    with pytest.raises(BusTimeout):
        await caller.request("double", b"2", 0.001)


async def test_who_is_cut_off_learns_it_and_hears_nothing() -> None:
    network = FakeNetwork()
    caller, server = network.member(), network.member()
    states: list[bool] = []
    server.on_state(states.append)
    await server.serve("double", double)

    server.cut()

    with pytest.raises(NoResponder):
        await caller.request("double", b"2", 1)
    with pytest.raises(BusUnavailable):
        await server.publish("news", b"")
    server.heal()
    assert await caller.request("double", b"2", 1) == b"22"
    assert states == [False, True]
