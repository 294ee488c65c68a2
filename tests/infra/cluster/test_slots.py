"""Calls among members: they find the holder, are done once, and fail clearly."""

import asyncio

import pytest

from tests.infra.cluster.cluster import (
    Cluster,
    Member,
    Note,
    Refusal,
    Size,
    in_cluster,
)
from tremula.infra.cluster.members import UNREACHABLE_S
from tremula.infra.cluster.messages import CallFailed
from tremula.infra.cluster.slots import DEADLINE_S
from tremula.infra.db import DatabaseUnavailable, SlotLost
from tremula.infra.slots import SLOTS
from tremula.protocol.errors import Forbidden, LimitExceeded, MatrixError, Unknown


async def two(cluster: Cluster) -> tuple[Member, Member]:
    one, other = await cluster.start(), await cluster.start()
    await cluster.settled()
    return one, other


@in_cluster
async def test_slots_spread_over_the_members(cluster: Cluster) -> None:
    for _ in range(4):
        await cluster.start()
    await cluster.settled()

    held = [len(each.keeper.slots) for each in cluster.members]

    assert sum(held) == SLOTS
    assert min(held) > SLOTS / 4 * 0.8


@in_cluster
async def test_a_call_is_done_where_the_slot_is_held(cluster: Cluster) -> None:
    one, other = await two(cluster)
    mine, theirs = cluster.key_of(one), cluster.key_of(other)

    assert await one.note(mine, "a") == ["m0", "a"]
    assert await one.note(theirs, "b") == ["m1", "b"]
    assert (one.notes, other.notes) == ([(mine, "a")], [(theirs, "b")])


@in_cluster
async def test_a_command_waits_for_its_turn_where_it_is_done(cluster: Cluster) -> None:
    one, other = await two(cluster)
    turn = asyncio.Event()

    async def wait() -> None:
        await turn.wait()

    other.slots.turn = wait
    calls = [
        asyncio.create_task(each.note(cluster.key_of(other), "a"))
        for each in (one, other)
    ]
    await one.note(cluster.key_of(one), "b")
    await asyncio.sleep(1)
    assert not other.notes

    turn.set()
    await asyncio.gather(*calls)

    assert len(other.notes) == 2


@in_cluster
async def test_refusals_come_back_as_they_were_raised(cluster: Cluster) -> None:
    one, other = await two(cluster)
    key = cluster.key_of(other)
    other.failing = [
        Forbidden("no", hint="x"),
        LimitExceeded("slow down", retry_after_ms=7),
        Unknown("odd", status=418),
        Refusal("not today"),
        DatabaseUnavailable("gone"),
    ]
    told: list[Exception] = []
    for _ in range(5):
        with pytest.raises((MatrixError, Refusal, DatabaseUnavailable)) as caught:
            await one.note(key, "x")
        told.append(caught.value)

    assert [type(each) for each in told] == [
        Forbidden,
        LimitExceeded,
        Unknown,
        Refusal,
        DatabaseUnavailable,
    ]
    forbidden, limited, odd, refusal, _ = told
    assert isinstance(forbidden, Forbidden)
    assert forbidden.body() == {"errcode": "M_FORBIDDEN", "error": "no", "hint": "x"}
    assert isinstance(limited, LimitExceeded)
    assert limited.retry_after_ms == 7
    assert isinstance(odd, Unknown)
    assert odd.http_status == 418
    assert str(refusal) == "not today"


@in_cluster
async def test_a_bug_of_the_holder_is_logged_there(cluster: Cluster) -> None:
    one, other = await two(cluster)
    other.failing = [ZeroDivisionError("a bug")]

    with pytest.raises(CallFailed):
        await one.note(cluster.key_of(other), "x")
    assert 'tremula_task_failures_total{task="cluster_call"} 1.0' in (
        other.metrics.text().decode()
    )


@in_cluster
async def test_a_large_command_travels_in_pieces(cluster: Cluster) -> None:
    cluster.network.payload_bytes_max = 4_096
    one, other = await two(cluster)
    data = bytes(100_000)

    key = cluster.key_of(other)

    assert await one.slots.call("note", key, Size(data)) == len(data)


@in_cluster
async def test_a_call_that_takes_long_is_waited_for_and_done_once(
    cluster: Cluster,
) -> None:
    one, other = await two(cluster)
    key = cluster.key_of(other)
    loop = asyncio.get_running_loop()
    loop.call_later(5 * DEADLINE_S, other.held_up.set)

    assert await one.note(key, "slow") == ["m1", "slow"]
    assert other.notes == [(key, "slow")]


@in_cluster
async def test_a_large_command_that_takes_long_travels_once(cluster: Cluster) -> None:
    cluster.network.payload_bytes_max = 4_096
    one, other = await two(cluster)
    asyncio.get_running_loop().call_later(5 * DEADLINE_S, other.held_up.set)

    text = "slow" * 25_000
    assert await one.note(cluster.key_of(other), text) == ["m1", "slowslow"]
    assert len(other.notes) == 1
    # 33 pieces, and once in two seconds the question how it goes.
    assert cluster.network.requests < 33 + 5 * DEADLINE_S


@in_cluster
async def test_lost_messages_do_not_double_a_call(cluster: Cluster) -> None:
    one, other = await two(cluster)
    keys = cluster.keys_of(other, 30)
    cluster.network.loss = 0.3

    outcomes = await asyncio.gather(
        *(one.note(key, "x") for key in keys), return_exceptions=True
    )

    done = [key for key, _ in other.notes]
    assert len(done) == len(set(done))
    for key, outcome in zip(keys, outcomes, strict=True):
        assert key in done or isinstance(outcome, Unknown)
    assert sum(isinstance(each, list) for each in outcomes) > 20


@in_cluster
async def test_calls_go_on_after_a_crash(cluster: Cluster) -> None:
    one, other = await two(cluster)
    key = cluster.key_of(other)
    await other.crash()
    started_s = asyncio.get_running_loop().time()

    assert await one.note(key, "x") == ["m0", "x"]
    assert asyncio.get_running_loop().time() - started_s < 5


@in_cluster
async def test_who_leaves_hands_over_and_no_call_fails(cluster: Cluster) -> None:
    one, other = await two(cluster)
    keys = cluster.keys_of(other, 20)
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(one.note(key, "x")) for key in keys]
        calls += [group.create_task(other.note(key, "y")) for key in keys]
        group.create_task(other.keeper.leave())
    await cluster.settled()

    assert {call.result()[0] for call in calls} <= {"m0", "m1"}
    assert len(one.keeper.slots) == SLOTS
    assert not other.keeper.slots
    assert len(one.notes) + len(other.notes) == 2 * len(keys)


@in_cluster
async def test_a_hand_over_waits_for_what_is_being_done(cluster: Cluster) -> None:
    one, other = await two(cluster)
    key = cluster.key_of(other)
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(other.note(key, "slow"))
        await asyncio.sleep(0)
        leaving = group.create_task(other.keeper.leave())
        await asyncio.sleep(1)
        late = group.create_task(one.note(key, "late"))
        await asyncio.sleep(0.5)
        assert not late.done()
        assert not leaving.done()
        other.held_up.set()

    assert slow.result() == ["m1", "slow"]
    assert late.result() == ["m0", "late"]


@in_cluster
async def test_a_slot_that_was_lost_amid_a_call_is_called_elsewhere(
    cluster: Cluster,
) -> None:
    """The fence refused the commit: the call is done again where the slot is now."""
    one, _ = await two(cluster)
    key = cluster.key_of(one)
    one.failing = [SlotLost("a commit came too late")]

    assert (await one.note(key, "x"))[1] == "x"
    assert len(one.notes) == 1


@in_cluster
async def test_without_a_holder_in_time_it_is_a_503(cluster: Cluster) -> None:
    one, other = await two(cluster)
    key = cluster.key_of(other)
    one.bus.cut()

    with pytest.raises(Unknown) as caught:
        await one.note(key, "x")
    assert caught.value.http_status == 503
    assert caught.value.body()["retry_after_ms"] == 5_000


@in_cluster
async def test_who_is_cut_off_from_the_database_takes_no_commands(
    cluster: Cluster,
) -> None:
    one = await cluster.start()
    await cluster.settled()
    key = cluster.key_of(one)
    cluster.table.is_down = True
    await asyncio.sleep(3.6)

    with pytest.raises(SlotLost):
        one.slots.lease(key)
    cluster.table.is_down = False
    assert await one.note(key, "x") == ["m0", "x"]


@in_cluster
async def test_waiting_calls_do_not_press_the_database(cluster: Cluster) -> None:
    one, other = await two(cluster)
    keys = cluster.keys_of(other, 30)
    await other.crash()
    before = cluster.table.beats

    await asyncio.gather(*(one.note(key, "x") for key in keys))

    assert cluster.table.beats - before < 120


@in_cluster
async def test_whoever_was_taken_for_dead_is_told(cluster: Cluster) -> None:
    one, other = await two(cluster)
    ended = asyncio.Event()
    other.keeper.on_ended(ended.set)
    gone: set[int] = set()
    other.keeper.on_gone(gone.update)
    cluster.table.table.withdraw("m1")

    await ended.wait()
    await asyncio.sleep(1)

    told_late = asyncio.Event()
    other.keeper.on_ended(told_late.set)
    assert told_late.is_set()
    assert len(one.keeper.slots) == SLOTS
    with pytest.raises(SlotLost):
        other.slots.lease("any")


@in_cluster
async def test_what_moves_is_told(cluster: Cluster) -> None:
    one = await cluster.start()
    await cluster.settled()
    gone: set[int] = set()
    one.keeper.on_gone(gone.update)

    other = await cluster.start()
    await cluster.settled()

    assert gone == set(other.keeper.slots)
    assert await one.slots.call("note", cluster.key_of(other), Note("x")) == ["m1", "x"]


@in_cluster
async def test_who_is_cut_off_from_the_bus_hands_over_to_who_has_it(
    cluster: Cluster,
) -> None:
    one, other = await two(cluster)
    key = cluster.key_of(one)
    one.bus.cut()
    await asyncio.sleep(UNREACHABLE_S + 2)

    assert len(other.keeper.slots) == SLOTS
    assert await other.note(key, "x") == ["m1", "x"]
    one.bus.heal()
    await asyncio.sleep(2)
    assert await other.note(key, "x") == ["m0", "x"]


@in_cluster
async def test_without_a_bus_everybody_keeps_what_it_has(cluster: Cluster) -> None:
    one, other = await two(cluster)
    before = set(one.keeper.slots), set(other.keeper.slots)
    for member in (one, other):
        member.bus.cut()
    await asyncio.sleep(UNREACHABLE_S * 3)

    assert (set(one.keeper.slots), set(other.keeper.slots)) == before
