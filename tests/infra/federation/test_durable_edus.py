"""EDUs that must arrive: in order, once, whatever fails and whenever it ends."""

import asyncio
from contextlib import suppress

import pytest

from tests.infra.federation.outbound import (
    OTHERS,
    OWN,
    THEM,
    Outbound,
    body_of,
    edu_numbers,
    numbers,
)
from tremula.infra.db import Conflict, Database
from tremula.infra.federation.destination import Edu
from tremula.infra.federation.durable_edus import DurableEdus
from tremula.infra.federation.peers import Peers
from tremula.infra.journal import Journal

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def outbound(database: Database) -> Outbound:
    return Outbound(database)


@pytest.fixture
async def journal(outbound: Outbound) -> Journal:
    return await outbound.journal()


async def restart(outbound: Outbound) -> Journal:
    """Send what earlier queues have left over."""
    await outbound.started().load()
    journal = await outbound.journal()
    await outbound.queues.send_due()
    return journal


async def wait(outbound: Outbound, seconds: int) -> None:
    """Send what is due after a while."""
    outbound.clock.advance_ms(seconds * 1000)
    await outbound.queues.send_due()


async def stored(outbound: Outbound) -> list[tuple[str, int]]:
    return [
        (name, pos)
        for name, pos in await outbound.database.all(
            "SELECT server_name, pos FROM federation_edus ORDER BY pos"
        )
    ]


def sent_edus(outbound: Outbound) -> list[list[int]]:
    """The EDUs of each transaction to `THEM`; forgets them."""
    found = [edu_numbers(sent) for sent in outbound.net.sent]
    outbound.net.sent = []
    return found


async def test_they_go_in_order_100_at_once_and_are_forgotten(
    outbound: Outbound, journal: Journal
) -> None:
    await outbound.add_durable(journal, *range(150))
    await outbound.add_durable(journal, *range(150, 250))
    await outbound.queues.send_due()

    assert sent_edus(outbound) == [
        list(range(100)),
        list(range(100, 200)),
        list(range(200, 250)),
    ]
    assert await stored(outbound) == []
    await outbound.queues.send_due()
    assert not outbound.net.sent


async def test_an_edu_is_sent_as_it_was_added(
    outbound: Outbound, journal: Journal
) -> None:
    await outbound.add_durable(journal, 7)
    await outbound.queues.send_due()

    [sent] = outbound.net.sent
    assert body_of(sent) == {
        "origin": OWN,
        "origin_server_ts": outbound.clock.now_ms(),
        "pdus": [],
        "edus": [{"edu_type": "m.x", "content": {"e": 7}}],
    }


async def test_events_and_other_edus_travel_with_them(
    outbound: Outbound, journal: Journal
) -> None:
    await outbound.join(THEM)
    await outbound.add(1, 2)
    await outbound.add_durable(journal, *range(60))
    for number in range(100, 160):
        edu = Edu("m.x", {"e": number}, outbound.clock.now_ms() + 1000)
        outbound.queues.send_edu([THEM], number, edu)
    await outbound.queues.send_due()

    first, second = outbound.net.sent
    assert (numbers(first), numbers(second)) == ([1, 2], [])
    assert sorted(edu_numbers(first)) == [*range(60), *range(100, 140)]
    assert edu_numbers(second) == list(range(140, 160))


async def test_what_was_not_committed_is_not_sent(
    outbound: Outbound, journal: Journal
) -> None:
    unit = journal.unit()
    DurableEdus(outbound.peers, outbound.clock).add(unit, THEM, "m.x", {})
    unit.run("INSERT INTO infra_writers (writer, reserved_pos, batch) VALUES (1, 0, 0)")
    with pytest.raises(Conflict):
        await journal.commit(unit)
    await outbound.queues.send_due()

    assert not outbound.net.sent
    assert await stored(outbound) == []


async def test_who_cannot_be_reached_gets_the_same_transaction_later(
    outbound: Outbound, journal: Journal
) -> None:
    outbound.net.down = {THEM}
    await outbound.add_durable(journal, 1, 2)
    await outbound.queues.send_due()
    [first] = outbound.net.sent
    await outbound.add_durable(journal, 3)
    outbound.net.down = set()
    await wait(outbound, 10)

    _, again, rest = outbound.net.sent
    assert (again.uri, edu_numbers(again)) == (first.uri, [1, 2])
    assert rest.uri != first.uri
    assert edu_numbers(rest) == [3]
    assert await stored(outbound) == []


async def test_a_crash_before_the_answer_repeats_the_same_transaction(
    outbound: Outbound, journal: Journal
) -> None:
    await outbound.join(THEM)
    await outbound.add(1)
    await outbound.add_durable(journal, *range(120))
    outbound.net.answered_max = 0
    sending = asyncio.ensure_future(outbound.queues.send_due())
    await outbound.net.unanswered.wait()
    await outbound.add_durable(journal, 120)
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    [first] = outbound.net.sent
    outbound.net.answered_max = None
    outbound.net.sent = []

    await restart(outbound)

    again, rest = outbound.net.sent
    assert (again.uri, numbers(again)) == (first.uri, [1])
    assert edu_numbers(again) == edu_numbers(first) == list(range(100))
    assert edu_numbers(rest) == list(range(100, 121))
    assert await stored(outbound) == []


async def test_a_crash_before_the_first_try_loses_nothing(
    outbound: Outbound, journal: Journal
) -> None:
    await outbound.add_durable(journal, 1)
    await outbound.add_durable(journal, 2, to=OTHERS)

    await restart(outbound)

    assert {(sent.destination, *edu_numbers(sent)) for sent in outbound.net.sent} == {
        (THEM, 1),
        (OTHERS, 2),
    }


async def test_a_restart_sends_nothing_again(
    outbound: Outbound, journal: Journal
) -> None:
    await outbound.add_durable(journal, 1)
    await outbound.queues.send_due()
    outbound.net.sent = []

    await restart(outbound)

    assert not outbound.net.sent


async def test_events_are_not_skipped_after_edus_alone(
    outbound: Outbound, journal: Journal
) -> None:
    """A transaction without events leaves the cursor of events where it is."""
    await outbound.join(THEM)
    await outbound.add(1)
    await outbound.queues.send_due()
    outbound.net.down = {THEM}
    await outbound.add_durable(journal, 1)
    await outbound.queues.send_due()
    await outbound.add(2)
    outbound.net.down = set()
    outbound.net.sent = []
    outbound.clock.advance_ms(10_000)

    await restart(outbound)

    assert outbound.sent_to(THEM) == [[], [2]]
    await restart(outbound)
    assert not outbound.net.sent


async def test_a_long_outage_loses_none(outbound: Outbound, journal: Journal) -> None:
    """Unlike other EDUs, of which those get none who fail for long."""
    outbound.net.down = {THEM}
    await outbound.add_durable(journal, 0)
    await outbound.queues.send_due()
    for number in range(1, 10):
        await outbound.add_durable(journal, number)
        await wait(outbound, 3600)
    outbound.net.down = set()
    outbound.net.sent = []
    await wait(outbound, 3600)

    assert sent_edus(outbound) == [[0], list(range(1, 10))]


async def test_only_the_newest_of_a_key_stays(
    outbound: Outbound, journal: Journal
) -> None:
    """But what is in a transaction already is repeated as it was."""
    outbound.net.down = {THEM}
    await outbound.add_durable(journal, 1, replacement_key="k")
    await outbound.queues.send_due()
    for number in (2, 3):
        await outbound.add_durable(journal, number, replacement_key="k")
        await outbound.add_durable(journal, number + 100)
    await outbound.add_durable(journal, 4, replacement_key="other")
    outbound.net.down = set()
    await wait(outbound, 10)

    assert sent_edus(outbound) == [[1], [1], [102, 3, 103, 4]]


async def test_for_the_dead_the_newest_5000_are_kept_30_days(
    outbound: Outbound, journal: Journal
) -> None:
    outbound.net.down = {THEM}
    await outbound.add_durable(journal, 0)
    await outbound.queues.send_due()
    await outbound.add_durable(journal, *range(1, 5_011))
    await wait(outbound, 3600)
    assert len(await stored(outbound)) == 1 + 5_000

    outbound.clock.advance_ms(31 * DAY_MS)
    await outbound.add_durable(journal, 6_000)
    await outbound.queues.send_due()
    outbound.net.down = set()
    outbound.net.sent = []
    await wait(outbound, 3600)

    assert sent_edus(outbound) == [[0], [6_000]]


async def test_cve_2025_30355_one_that_is_refused_keeps_back_no_other(
    outbound: Outbound, journal: Journal
) -> None:
    await outbound.join(THEM)
    outbound.net.refused = {1007}
    await outbound.add(1, 2)
    await outbound.add_durable(journal, *range(1000, 1010))
    await outbound.queues.send_due()
    for _ in range(20):
        await wait(outbound, 3600)

    taken = [sent for sent in outbound.net.sent if 1007 not in edu_numbers(sent)]
    assert [n for sent in taken for n in numbers(sent)] == [1, 2]
    assert [n for sent in taken for n in edu_numbers(sent)] == [
        *range(1000, 1007),
        *range(1008, 1010),
    ]
    assert await stored(outbound) == []


async def test_cve_2025_30355_an_event_that_is_refused_keeps_back_no_edu(
    outbound: Outbound, journal: Journal
) -> None:
    await outbound.join(THEM)
    outbound.net.refused = {2}
    await outbound.add(1, 2)
    await outbound.add_durable(journal, *range(1000, 1010))
    await outbound.queues.send_due()
    for _ in range(20):
        await wait(outbound, 3600)

    taken = [sent for sent in outbound.net.sent if 2 not in numbers(sent)]
    assert [n for sent in taken for n in numbers(sent)] == [1]
    assert [n for sent in taken for n in edu_numbers(sent)] == list(range(1000, 1010))


async def test_nothing_is_stored_for_denied_servers(database: Database) -> None:
    outbound = Outbound(database, peers=Peers(OWN, denied=frozenset({THEM})))
    journal = await outbound.journal()
    await outbound.add_durable(journal, 1)
    await outbound.add_durable(journal, 2, to=OWN)

    assert await stored(outbound) == []
