"""The life of delayed events: each is sent or cancelled, once, whatever happens."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.slots import HeldSlots, SharedSlots
from tremula.features.delayed_events import storage
from tremula.features.delayed_events.delayed_event import (
    Action,
    AlreadyFinalised,
    DelayedEvent,
)
from tremula.features.delayed_events.keeper import Keeper
from tremula.features.delayed_events.service import DelayedEvents
from tremula.features.messages.service import DelayedDraft
from tremula.infra.config import DelayedEvents as Limits
from tremula.infra.db import Database, DatabaseUnavailable
from tremula.infra.http import Requester
from tremula.infra.journal import Journal
from tremula.infra.metrics import Metrics
from tremula.infra.supervisor import Supervisor
from tremula.protocol.errors import Forbidden, LimitExceeded, MatrixError
from tremula.protocol.identifiers import DeviceId, EventId, RoomId, UserId

ROOM = RoomId("!room:test")
USERS = [UserId("@alice:test"), UserId("@bob:test")]
LIMITS = Limits(max_delay_s=100, max_scheduled=20)


@dataclass(slots=True)
class FakeSending:
    """A room that knows transaction IDs, and fails as it is told to."""

    clock: FakeClock
    # {delay_id: when it was sent}
    sent: dict[str, int] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    limited: set[str] = field(default_factory=set)
    fails: Callable[[], str | None] = lambda: None

    async def send(self, event: DelayedEvent) -> EventId:
        await asyncio.sleep(0)
        failure = self.fails()
        if failure == "before":
            raise DatabaseUnavailable("before")
        if event.delay_id not in self.sent:
            if event.delay_id in self.forbidden:
                raise Forbidden("you may not")
            if event.delay_id in self.limited:
                raise LimitExceeded("not now", retry_after_ms=30_000)
            self.sent[event.delay_id] = self.clock.now_ms()
        if failure == "after":
            raise DatabaseUnavailable("after")
        return EventId("$" + event.delay_id)

    async def is_replaced(self, event: DelayedEvent) -> bool:
        await asyncio.sleep(0)
        return event.delay_id in self.replaced


@dataclass(slots=True)
class Processes:
    """Two of them, one of which holds all slots; they may crash."""

    database: Database
    journal: Journal
    clock: FakeClock
    sending: FakeSending
    supervisor: Supervisor
    shared: SharedSlots = field(default_factory=SharedSlots)
    keepers: list[Keeper] = field(default_factory=list)
    service: DelayedEvents = field(init=False)

    def begin(self) -> None:
        """One more process takes all slots."""
        slots = self.shared.process()
        self.keepers.append(self._keeper(slots))
        self.service = DelayedEvents(
            self.database, self.journal, self.clock, slots, LIMITS
        )
        self.shared.give(slots)

    def _keeper(self, slots: HeldSlots) -> Keeper:
        return Keeper(
            db=self.database,
            journal=self.journal,
            clock=self.clock,
            slots=slots,
            sending=self.sending,
            supervisor=self.supervisor,
            max_scheduled=LIMITS.max_scheduled,
        )

    async def until_idle(self) -> None:
        """Have what has come taken up; wait for the end of what was begun."""
        for keeper in self.keepers:
            await keeper.take_up()
        while tasks := [
            each
            for each in asyncio.all_tasks()
            if each.get_name().startswith("delayed_event")
        ]:
            await asyncio.wait(tasks)

    async def pass_time(self, ms: int) -> None:
        """Let time go by, and everything be sent that is due."""
        self.clock.advance_ms(ms)
        await self.until_idle()
        for keeper in self.keepers:
            keeper.begin_due()
        await self.until_idle()

    async def schedule(
        self, user_id: UserId, delay_ms: int, **options: object
    ) -> DelayedEvent:
        """Schedule an event; as it is stored."""
        draft = DelayedDraft(
            room_id=ROOM,
            type="m.x",
            content={"n": 1},
            delay_ms=delay_ms,
            **options,  # type: ignore[arg-type]  # txn_id and state_key
        )
        delay_id = await self.service.schedule(requester(user_id), draft)
        return await self.get(delay_id)

    async def get(self, delay_id: str) -> DelayedEvent:
        """The event as it is stored."""
        event = await storage.find_delayed_event(self.database, delay_id)
        assert event is not None
        return event


def requester(user_id: UserId) -> Requester:
    """Its only device."""
    return Requester(
        user_id=user_id,
        device_id=DeviceId("D"),
        is_guest=False,
        token_id=1,
        is_admin=False,
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def processes(database: Database, clock: FakeClock) -> AsyncIterator[Processes]:
    supervisor = Supervisor(Metrics())
    journal = await Journal.open(database)
    found = Processes(database, journal, clock, FakeSending(clock), supervisor)
    found.begin()
    await found.until_idle()
    yield found
    await supervisor.stop()


async def test_an_event_is_sent_when_its_time_has_come(processes: Processes) -> None:
    event = await processes.schedule(USERS[0], 1_000)

    await processes.pass_time(999)
    assert not processes.sending.sent
    await processes.pass_time(1)

    assert processes.sending.sent == {event.delay_id: event.send_ts_ms}
    finalised = (await processes.get(event.delay_id)).finalised
    assert finalised is not None
    assert finalised.event_id == "$" + event.delay_id
    await processes.pass_time(10_000)
    assert len(processes.sending.sent) == 1


async def test_what_is_overdue_after_a_crash_is_sent_at_once(
    processes: Processes,
) -> None:
    event = await processes.schedule(USERS[0], 1_000)
    processes.keepers.clear()
    await processes.pass_time(60_000)

    processes.begin()
    await processes.until_idle()
    await processes.pass_time(0)

    assert list(processes.sending.sent) == [event.delay_id]


async def test_a_crash_between_sending_and_noting_it_sends_once(
    processes: Processes,
) -> None:
    event = await processes.schedule(USERS[0], 1_000)
    processes.sending.fails = lambda: "after"
    await processes.pass_time(1_000)
    assert (await processes.get(event.delay_id)).finalised is None

    processes.sending.fails = lambda: None
    processes.begin()
    await processes.until_idle()
    await processes.pass_time(5_000)

    assert processes.sending.sent == {event.delay_id: event.send_ts_ms}
    finalised = (await processes.get(event.delay_id)).finalised
    assert finalised is not None
    assert finalised.is_sent


async def test_what_can_not_be_sent_now_is_tried_again(processes: Processes) -> None:
    event = await processes.schedule(USERS[0], 1_000)
    processes.sending.fails = lambda: "before"
    await processes.pass_time(1_000)
    processes.sending.fails = lambda: None

    await processes.pass_time(10_000)

    assert list(processes.sending.sent) == [event.delay_id]


async def test_what_is_forbidden_is_cancelled_with_the_error(
    processes: Processes,
) -> None:
    event = await processes.schedule(USERS[0], 1_000)
    processes.sending.forbidden.add(event.delay_id)

    await processes.pass_time(1_000)

    shown = (await processes.get(event.delay_id)).to_json()
    assert shown["finalised"]["error"]["errcode"] == "M_FORBIDDEN"
    assert (shown["outcome"], shown["reason"]) == ("cancel", "error")
    assert "event_id" not in shown["finalised"]


async def test_what_is_due_while_its_user_is_limited_is_sent_later(
    processes: Processes,
) -> None:
    event = await processes.schedule(USERS[0], 1_000)
    processes.sending.limited.add(event.delay_id)

    await processes.pass_time(1_000)
    waiting = await processes.get(event.delay_id)
    processes.sending.limited.clear()
    await processes.pass_time(29_999)
    sent_too_early = dict(processes.sending.sent)
    await processes.pass_time(1)

    assert waiting.finalised is None
    assert not sent_too_early
    assert processes.sending.sent == {event.delay_id: event.send_ts_ms + 30_000}


async def test_what_waits_for_its_limit_can_be_cancelled(processes: Processes) -> None:
    event = await processes.schedule(USERS[0], 1_000)
    processes.sending.limited.add(event.delay_id)
    await processes.pass_time(1_000)
    processes.sending.limited.clear()

    await processes.service.act(event.delay_id, Action.CANCEL)
    await processes.pass_time(60_000)

    assert not processes.sending.sent


async def test_state_that_waits_for_its_limit_can_be_replaced(
    processes: Processes,
) -> None:
    event = await processes.schedule(USERS[0], 1_000, state_key="")
    processes.sending.limited.add(event.delay_id)
    await processes.pass_time(1_000)
    processes.sending.limited.clear()
    processes.sending.replaced.add(event.delay_id)

    await processes.pass_time(30_000)

    assert not processes.sending.sent
    finalised = (await processes.get(event.delay_id)).finalised
    assert finalised is not None
    assert not finalised.is_sent


async def test_each_heartbeat_puts_the_end_off(processes: Processes) -> None:
    event = await processes.schedule(USERS[0], 1_000)
    for _ in range(300):
        await processes.pass_time(900)
        await processes.service.act(event.delay_id, Action.RESTART)
    assert not processes.sending.sent

    await processes.pass_time(1_000)

    assert list(processes.sending.sent) == [event.delay_id]


async def test_a_user_has_no_more_waiting_than_allowed(processes: Processes) -> None:
    for number in range(LIMITS.max_scheduled):
        await processes.schedule(USERS[0], 5_000 + number, txn_id=str(number))
    await processes.schedule(USERS[1], 5_000)

    with pytest.raises(LimitExceeded) as caught:
        await processes.schedule(USERS[0], 5_000, txn_id="more")
    assert caught.value.retry_after_ms == 5_000
    repeated = await processes.schedule(USERS[0], 5_000, txn_id="0")
    assert repeated.delay_ms == 5_000

    await processes.pass_time(5_000)
    await processes.schedule(USERS[0], 5_000, txn_id="more")


async def test_at_once_nobody_schedules_more(processes: Processes) -> None:
    """Nor twice by one transaction ID."""
    outcomes = await asyncio.gather(
        *(processes.schedule(USERS[0], 5_000, txn_id=str(n % 30)) for n in range(60)),
        return_exceptions=True,
    )

    known = {each.delay_id for each in outcomes if isinstance(each, DelayedEvent)}
    assert len(known) == LIMITS.max_scheduled
    assert all(isinstance(each, DelayedEvent | LimitExceeded) for each in outcomes)


async def test_what_has_ended_is_forgotten_after_a_week(processes: Processes) -> None:
    event = await processes.schedule(USERS[0], 1_000)
    await processes.pass_time(1_000)
    processes.clock.advance_ms(7 * 24 * 3600 * 1000 + 1)
    await processes.keepers[0].forget_old()

    assert not await storage.find_delayed_event(processes.database, event.delay_id)


@dataclass(slots=True)
class Walk:
    """Does things at random; what was answered has to stay true."""

    processes: Processes
    dice: random.Random
    # {delay_id: the least time at which it may be sent}
    earliest: dict[str, int] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)

    def any_id(self) -> str:
        """An event that was scheduled at some time."""
        return self.dice.choice(list(self.earliest))

    async def schedule(self) -> None:
        event = await self.processes.schedule(
            self.dice.choice(USERS), self.dice.randint(1, 5_000)
        )
        self.earliest[event.delay_id] = event.send_ts_ms

    async def act(self) -> None:
        delay_id = self.any_id()
        action = self.dice.choice(list(Action))
        if action is Action.SEND:
            # It may be sent even if the answer is lost.
            self.earliest[delay_id] = 0
        await self.processes.service.act(delay_id, action)
        if action is Action.CANCEL:
            assert delay_id not in self.processes.sending.sent
            self.cancelled.add(delay_id)
        elif action is Action.SEND:
            assert delay_id in self.processes.sending.sent
        elif self.earliest[delay_id]:
            restarted = await self.processes.get(delay_id)
            self.earliest[delay_id] = restarted.send_ts_ms

    async def forbid(self) -> None:
        sending = self.processes.sending
        self.dice.choice([sending.forbidden, sending.replaced]).add(self.any_id())

    async def pass_time(self) -> None:
        await self.processes.pass_time(self.dice.randint(0, 3_000))

    async def take_over(self) -> None:
        self.processes.begin()
        if self.dice.random() < 0.5:
            # Else it goes on for a while, without the slots.
            del self.processes.keepers[:-1]

    async def step(self) -> None:
        """One thing, which may be refused."""
        steps: list[Callable[[], Awaitable[None]]] = [
            *(self.schedule, self.schedule, self.act, self.act, self.act),
            *(self.pass_time, self.take_over, self.forbid),
        ]
        if not self.earliest:
            steps = [self.schedule]
        with suppress(LimitExceeded, AlreadyFinalised, Forbidden, DatabaseUnavailable):
            try:
                await self.dice.choice(steps)()
            except MatrixError as error:
                # Somebody else's state, which is only noted here.
                if error.http_status != 409:
                    raise


@pytest.mark.parametrize("seed", range(5))
async def test_each_is_sent_or_cancelled_once(processes: Processes, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    walk = Walk(processes, dice)
    sending = processes.sending
    sending.fails = lambda: dice.choice([None, None, "before", "after"])
    for _ in range(150):
        await asyncio.gather(*(walk.step() for _ in range(dice.randint(1, 3))))

    sending.fails = lambda: None
    processes.begin()
    await processes.until_idle()
    for _ in range(4):
        await processes.pass_time(100_000)

    assert len(walk.earliest) > 30
    for delay_id, earliest_ms in walk.earliest.items():
        finalised = (await processes.get(delay_id)).finalised
        assert finalised is not None
        sent_ms = sending.sent.get(delay_id)
        assert finalised.is_sent == (sent_ms is not None), delay_id
        if sent_ms is not None:
            assert sent_ms >= earliest_ms
            assert delay_id not in walk.cancelled
