"""Ends of waits: those of one moment share a timer."""

import asyncio

from tremula.infra.deadlines import TICK_S, Deadlines


def _future() -> "asyncio.Future[bool]":
    return asyncio.get_running_loop().create_future()


async def test_whoever_waits_equally_long_shares_a_timer() -> None:
    deadlines = Deadlines()
    timeout_s = 30.0

    sets = [deadlines.add(_future(), timeout_s) for _ in range(100)]

    # In two sets if a tick ends just now.
    assert len({id(each) for each in sets}) <= 2
    assert deadlines.add(_future(), timeout_s + 2 * TICK_S) not in sets


async def test_a_future_is_given_up_when_its_time_is_over() -> None:
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    later, soon, answered, gone = (_future() for _ in range(4))
    deadlines.add(later, 30)
    began_s = loop.time()
    due = deadlines.add(gone, 0.001)
    due.discard(gone)
    for each in (answered, soon):
        deadlines.add(each, 0.001)
    answered.set_result(True)

    async with asyncio.timeout(10):
        assert await soon is False

    assert loop.time() >= began_s + 0.001
    assert answered.result() is True
    assert not gone.done()
    assert not later.done()
