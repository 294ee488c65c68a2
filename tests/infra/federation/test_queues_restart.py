"""What other servers are sent by queues that start where earlier ones have ended."""

import asyncio
from contextlib import suppress

import pytest

from tests.infra.federation.outbound import OTHERS, THEM, Outbound, numbers
from tremula.infra.db import Database


@pytest.fixture
async def outbound(database: Database) -> Outbound:
    outbound = Outbound(database)
    await outbound.join(THEM)
    return outbound


async def crash_while_sending(outbound: Outbound, *, after: int) -> None:
    """Send *after* transactions, and end before the next one is answered."""
    outbound.net.answered_max = after
    outbound.net.unanswered.clear()
    sending = asyncio.ensure_future(outbound.queues.send_due())
    await outbound.net.unanswered.wait()
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    outbound.net.answered_max = None


async def restart(outbound: Outbound) -> None:
    """Send what earlier queues have left over."""
    await outbound.started().load()
    await outbound.queues.send_due()


async def test_a_restart_repeats_what_was_begun_and_sends_the_rest(
    outbound: Outbound,
) -> None:
    outbound.net.down = {THEM}
    await outbound.add(1, 2)
    await outbound.queues.send_due()
    await outbound.join(OTHERS, pos=2)
    await outbound.add(3, to=(THEM, OTHERS))
    [first] = [sent for sent in outbound.net.sent if sent.destination == THEM]
    outbound.net.sent.clear()

    outbound.net.down = set()
    queues = outbound.started()
    await queues.load()
    outbound.clock.advance_ms(10_000)
    await queues.send_due()

    again, rest = [sent for sent in outbound.net.sent if sent.destination == THEM]
    assert (again.uri, numbers(again)) == (first.uri, [1, 2])
    assert numbers(rest) == [3]
    assert outbound.sent_to(OTHERS) == [[3]]


async def test_a_restart_sends_nothing_again(outbound: Outbound) -> None:
    await outbound.join(OTHERS)
    await outbound.add(1, to=(THEM, OTHERS))
    await outbound.queues.send_due()
    outbound.net.sent.clear()

    queues = outbound.started()
    await queues.load()
    await queues.send_due()

    assert not outbound.net.sent


async def test_a_restart_keeps_to_the_pause(outbound: Outbound) -> None:
    outbound.net.down = {THEM}
    await outbound.add(1)
    await outbound.queues.send_due()
    outbound.net.sent.clear()

    queues = outbound.started()
    await queues.load()
    outbound.clock.advance_ms(999)
    await queues.send_due()
    assert not outbound.net.sent

    outbound.clock.advance_ms(1)
    await queues.send_due()
    assert outbound.sent_to(THEM) == [[1]]


async def test_a_burst_that_was_interrupted_is_sent_whole(outbound: Outbound) -> None:
    """No event is left to be asked for: there was no outage."""
    await outbound.add(*range(1, 301))
    await crash_while_sending(outbound, after=2)
    begun = outbound.sent_to(THEM)

    await restart(outbound)

    assert begun[2] == list(range(101, 151))
    sent = [number for each in outbound.sent_to(THEM) for number in each]
    assert sent == list(range(101, 301))


async def test_catching_up_goes_on_after_a_crash(outbound: Outbound) -> None:
    """Still with the newest event of each room, which is enough."""
    rooms = range(1, 121)
    for room in rooms:
        await outbound.join(THEM, room_nid=room)
    outbound.net.down = {THEM}
    await outbound.add(1)
    await outbound.queues.send_due()
    for room in rooms:
        await outbound.add(*range(10 * room, 10 * room + 5), room_nid=room)
    outbound.net.down = set()
    outbound.net.sent.clear()
    outbound.clock.advance_ms(10_000)

    await crash_while_sending(outbound, after=2)
    begun = outbound.sent_to(THEM)
    await restart(outbound)

    newest = [10 * room + 4 for room in rooms]
    assert begun == [[1], newest[:50], newest[50:100]]
    assert outbound.sent_to(THEM) == [newest[50:100], newest[100:]]


async def test_an_outage_is_over_for_a_restart_too(outbound: Outbound) -> None:
    """What follows it is sent whole, and EDUs as well."""
    outbound.net.down = {THEM}
    await outbound.add(1)
    for _ in range(10):
        await outbound.queues.send_due()
        outbound.clock.advance_ms(3_600_000)
    outbound.net.down = set()
    await outbound.add(2)
    await outbound.queues.send_due()
    outbound.net.sent.clear()
    await outbound.add(*range(3, 103))

    await restart(outbound)

    assert outbound.sent_to(THEM) == [list(range(3, 53)), list(range(53, 103))]
