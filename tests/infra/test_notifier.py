"""Waiting and waking: nobody is forgotten, nobody else is disturbed."""

import asyncio

import pytest

from tremula.infra import notifier as module
from tremula.infra.notifier import Notifier
from tremula.protocol.identifiers import UserId

ALICE = UserId("@alice:test")
BOB = UserId("@bob:test")


@pytest.fixture
def notifier() -> Notifier:
    return Notifier(position=10)


async def _waiting(notifier: Notifier, user_id: UserId) -> "asyncio.Task[bool]":
    task = asyncio.ensure_future(notifier.wait(user_id, after=10, timeout_s=60))
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_a_waiting_user_is_woken(notifier: Notifier) -> None:
    task = await _waiting(notifier, ALICE)

    notifier.wake({ALICE, BOB}, 11)

    assert await task
    assert notifier.waiting_users == 0


async def test_all_polls_of_a_user_are_woken(notifier: Notifier) -> None:
    tasks = [await _waiting(notifier, ALICE) for _ in range(3)]
    assert notifier.waiting_users == 1

    notifier.wake([ALICE], 11)

    assert await asyncio.gather(*tasks) == [True] * 3


async def test_a_user_who_is_named_twice_is_woken_once(notifier: Notifier) -> None:
    """The members of several rooms, say, of which the user is in two."""
    alice = await _waiting(notifier, ALICE)
    bob = await _waiting(notifier, BOB)

    notifier.wake([ALICE, ALICE], 11)

    assert await alice
    assert notifier.waiting_users == 1
    bob.cancel()


async def test_who_is_woken_when_the_time_is_up_already_is_told(
    notifier: Notifier,
) -> None:
    """Else the news would be taken for seen: the answer names a later position."""
    task = await _waiting(notifier, ALICE)

    notifier.release()
    notifier.wake([ALICE], 11)

    assert await task


async def test_without_time_nobody_waits(notifier: Notifier) -> None:
    assert not await notifier.wait(ALICE, after=10, timeout_s=0)

    notifier.wake([ALICE], 11)
    assert await notifier.wait(ALICE, after=10, timeout_s=0)


async def test_others_go_on_waiting(notifier: Notifier) -> None:
    alice = await _waiting(notifier, ALICE)
    bob = await _waiting(notifier, BOB)

    notifier.wake({ALICE}, 11)
    await alice

    assert not bob.done()
    bob.cancel()


async def test_a_wake_before_the_wait_is_not_missed(notifier: Notifier) -> None:
    notifier.wake({ALICE}, 12)

    assert await notifier.wait(ALICE, after=11, timeout_s=60)
    assert not await notifier.wait(ALICE, after=12, timeout_s=0)
    assert not await notifier.wait(BOB, after=11, timeout_s=0)


async def test_a_wait_ends_in_time(notifier: Notifier) -> None:
    assert not await notifier.wait(ALICE, after=10, timeout_s=0.001)
    assert notifier.waiting_users == 0


async def test_a_cancelled_wait_leaves_nothing_behind(notifier: Notifier) -> None:
    task = await _waiting(notifier, ALICE)
    other = await _waiting(notifier, ALICE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    notifier.wake({ALICE}, 11)

    assert await other
    assert notifier.waiting_users == 0


async def test_whoever_comes_from_before_memory_is_told_to_look(
    notifier: Notifier,
) -> None:
    assert await notifier.wait(ALICE, after=9, timeout_s=60)


@pytest.mark.parametrize(("wakes_max", "members_max"), [(4, 1_000), (1_000, 4)])
async def test_forgetting_old_wakes_is_never_mistaken_for_silence(
    notifier: Notifier,
    monkeypatch: pytest.MonkeyPatch,
    wakes_max: int,
    members_max: int,
) -> None:
    monkeypatch.setattr(module, "WAKES_MAX", wakes_max)
    monkeypatch.setattr(module, "MEMBERS_MAX", members_max)
    notifier.wake({ALICE}, 11)
    for pos in range(12, 30):
        notifier.wake({BOB}, pos)

    assert notifier.was_woken(ALICE, after=10)
    assert not notifier.was_woken(ALICE, after=28)
    assert notifier.was_woken(BOB, after=28)


async def test_what_may_have_been_missed_is_not_forgotten_with_old_wakes(
    notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAKES_MAX", 4)
    notifier.forget(100)
    for pos in range(11, 30):
        notifier.wake({BOB}, pos)

    assert notifier.was_woken(ALICE, after=28)
