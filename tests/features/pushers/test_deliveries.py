"""Who is delivered to, where, and at once with whom."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.fakes.slots import SharedSlots
from tests.features.pushers.pushing import ALICE, stored_pusher
from tests.features.user_data import UserDataServer
from tremula.features.pushers import storage
from tremula.features.pushers.deliveries import Deliveries
from tremula.features.pushers.pushed_users import PushedUsers
from tremula.features.pushers.pusher import Kind, StoredPusher
from tremula.infra.db import DatabaseUnavailable, SlotLost
from tremula.infra.slots import SingleProcessSlots, Slots
from tremula.protocol.identifiers import UserId

BOB: Final = UserId("@bob:test")
OTHER: Final = "https://other.example/_matrix/push/v1/notify"
DEAD: Final = "https://dead.example/_matrix/push/v1/notify"

Delivery = tuple[UserId, tuple[str, ...]]


async def nothing(_user_id: UserId) -> int | None:
    return None


@dataclass(slots=True)
class FakeCourier:
    """Says whom it was sent to; *then* says what becomes of that."""

    then: Callable[[UserId], Awaitable[int | None]] = nothing
    came: "asyncio.Queue[Delivery]" = field(default_factory=asyncio.Queue)

    async def deliver(
        self, user_id: UserId, pushers: Sequence[StoredPusher], *, up_to: int
    ) -> int | None:
        self.came.put_nowait((user_id, tuple(each.key.pushkey for each in pushers)))
        return await self.then(user_id)


async def add(user_data: UserDataServer, *pushers: StoredPusher) -> None:
    journal = user_data.journal
    for each in pushers:
        unit = journal.unit()
        storage.upsert_pusher(unit, each, keeps_device=False)
        storage.update_failed(
            unit, [each], failures=each.failures, retry_at_ms=each.retry_at_ms
        )
        await journal.commit(unit)


@asynccontextmanager
async def delivering(
    user_data: UserDataServer, courier: FakeCourier, slots: Slots | None = None
) -> AsyncIterator[Deliveries]:
    journal, database = user_data.journal, user_data.database
    deliveries = Deliveries(
        db=database,
        journal=journal,
        clock=user_data.clock,
        slots=slots or SingleProcessSlots(),
        users=PushedUsers(database, journal, user_data.memberships, user_data.reader),
        couriers={Kind.HTTP: courier},
    )
    task = asyncio.create_task(deliveries.run())
    try:
        yield deliveries
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def user(number: int) -> UserId:
    return UserId(f"@user{number}:test")


async def test_everybody_is_looked_at_when_it_begins(
    user_data: UserDataServer,
) -> None:
    courier = FakeCourier()
    await add(user_data, stored_pusher(), stored_pusher("other", user_id=BOB))

    async with delivering(user_data, courier):
        found = {await courier.came.get(), await courier.came.get()}

    assert found == {(ALICE, ("key",)), (BOB, ("other",))}


async def test_devices_of_one_app_and_format_are_told_together(
    user_data: UserDataServer,
) -> None:
    courier = FakeCourier()
    await add(
        user_data,
        stored_pusher("one"),
        stored_pusher("two"),
        stored_pusher("brief", format="event_id_only"),
        stored_pusher("elsewhere", url=OTHER),
        stored_pusher("ios", app_id="org.example.app.ios"),
    )

    async with delivering(user_data, courier):
        found = [await courier.came.get() for _ in range(4)]

    assert sorted(pushkeys for _, pushkeys in found) == [
        ("brief",),
        ("elsewhere",),
        ("ios",),
        ("one", "two"),
    ]


async def test_a_dead_gateway_slows_nobody_else(user_data: UserDataServer) -> None:
    """Hundreds wait for it; whoever has another gateway gets theirs at once."""
    last = UserId("@zoe:test")
    dead = [stored_pusher(user_id=user(number), url=DEAD) for number in range(300)]
    await add(user_data, *dead, stored_pusher(user_id=last))
    begun = asyncio.Event()

    async def hangs(user_id: UserId) -> None:
        if user_id == last:
            begun.set()
        else:
            await asyncio.Event().wait()

    courier = FakeCourier(hangs)
    async with delivering(user_data, courier):
        await begun.wait()

        assert courier.came.qsize() == 8 + 1


async def test_what_comes_while_a_user_is_delivered_to_follows(
    user_data: UserDataServer,
) -> None:
    await add(user_data, stored_pusher())
    go_on = asyncio.Event()
    underway = 0

    async def slowly(_user_id: UserId) -> None:
        nonlocal underway
        underway += 1
        assert underway == 1
        await go_on.wait()
        underway -= 1

    courier = FakeCourier(slowly)
    async with delivering(user_data, courier) as deliveries:
        await courier.came.get()
        deliveries.note(ALICE)
        deliveries.note(ALICE)
        await add(user_data, stored_pusher(user_id=BOB, url=OTHER))
        deliveries.note(BOB)
        assert await courier.came.get() == (BOB, ("key",))
        underway -= 1
        go_on.set()

        assert await courier.came.get() == (ALICE, ("key",))


async def test_nobody_is_told_before_the_pause_is_over(
    user_data: UserDataServer,
) -> None:
    courier = FakeCourier()
    retry_at_ms = user_data.clock.now_ms() + 60_000
    await add(
        user_data, stored_pusher(retry_at_ms=retry_at_ms), stored_pusher(user_id=BOB)
    )

    async with delivering(user_data, courier) as deliveries:
        deliveries.note(ALICE)
        assert await courier.came.get() == (BOB, ("key",))
        deliveries.note(ALICE)
        deliveries.note(BOB)
        assert await courier.came.get() == (BOB, ("key",))

        user_data.clock.advance_ms(60_000)
        deliveries.note(BOB)
        found = {await courier.came.get(), await courier.came.get()}

    assert found == {(ALICE, ("key",)), (BOB, ("key",))}


async def test_a_courier_says_when_to_look_again(user_data: UserDataServer) -> None:
    clock = user_data.clock

    async def later(user_id: UserId) -> int | None:
        return clock.now_ms() + 1_000 if user_id == ALICE else None

    courier = FakeCourier(later)
    await add(user_data, stored_pusher(), stored_pusher(user_id=BOB))
    async with delivering(user_data, courier) as deliveries:
        await courier.came.get()
        await courier.came.get()

        clock.advance_ms(1_000)
        deliveries.note(BOB)

        found = {await courier.came.get(), await courier.came.get()}
        assert found == {(ALICE, ("key",)), (BOB, ("key",))}


async def test_what_fails_for_one_user_is_tried_again(
    user_data: UserDataServer, caplog: pytest.LogCaptureFixture
) -> None:
    failures = iter([RuntimeError("a bug"), DatabaseUnavailable("away")])

    async def fails(user_id: UserId) -> None:
        if user_id == ALICE:
            raise next(failures)

    courier = FakeCourier(fails)
    await add(user_data, stored_pusher(), stored_pusher(user_id=BOB))
    async with delivering(user_data, courier) as deliveries:
        for _ in range(2):
            found = {await courier.came.get(), await courier.came.get()}
            assert found == {(ALICE, ("key",)), (BOB, ("key",))}
            user_data.clock.advance_ms(60_000)
            deliveries.note(BOB)


async def test_only_users_whose_slots_are_held_are_delivered_to(
    user_data: UserDataServer,
) -> None:
    shared = SharedSlots()
    here, there = shared.process(), shared.process()
    shared.give(here, BOB)
    shared.give(there, ALICE)
    courier = FakeCourier()
    await add(user_data, stored_pusher(), stored_pusher(user_id=BOB))

    async with delivering(user_data, courier, here) as deliveries:
        assert await courier.came.get() == (BOB, ("key",))
        deliveries.note(ALICE)
        deliveries.note(BOB)
        assert await courier.came.get() == (BOB, ("key",))

        shared.give(here, ALICE)

        assert await courier.came.get() == (ALICE, ("key",))


async def test_whoever_has_lost_a_slot_leaves_the_rest_to_its_new_holder(
    user_data: UserDataServer,
) -> None:
    async def lost(user_id: UserId) -> None:
        if user_id == ALICE:
            raise SlotLost("it went")

    courier = FakeCourier(lost)
    await add(user_data, stored_pusher(), stored_pusher(user_id=BOB))
    async with delivering(user_data, courier) as deliveries:
        await courier.came.get()
        await courier.came.get()
        user_data.clock.advance_ms(3_600_000)

        deliveries.note(BOB)

        assert await courier.came.get() == (BOB, ("key",))
        assert courier.came.empty()
