"""An event as uvicorn uses it."""

import asyncio

import pytest

from tremula.infra.http.lazy_event import LazyEvent


async def test_what_is_set_is_not_waited_for() -> None:
    event = LazyEvent()
    event.set()

    await event.wait()
    await LazyEvent(is_set=True).wait()


async def test_whoever_waits_goes_on_once_it_is_set() -> None:
    event = LazyEvent(is_set=True)
    event.clear()
    waiters = [asyncio.create_task(event.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters)

    event.set()

    await asyncio.gather(*waiters)


async def test_a_cleared_event_is_waited_for_again() -> None:
    event = LazyEvent()
    first = asyncio.create_task(event.wait())
    await asyncio.sleep(0)
    event.set()
    await first
    event.clear()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(event.wait(), 0)
