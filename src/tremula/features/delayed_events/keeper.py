"""Sends events when their time has come: the holder of their user's slot does.

Each is sent or cancelled, once, whatever crashes. That it is being sent is stored
before it is, and it is sent with its delay ID as transaction ID: so whoever finds it
begun sends it again, gets the same event, and knows what has become of it.
"""

import asyncio
from collections.abc import Collection, Hashable
from functools import partial
from typing import Final, Protocol

import orjson
import structlog
from msgspec import Struct
from msgspec.structs import replace

from tremula.features.delayed_events import storage
from tremula.features.delayed_events.agenda import Agenda
from tremula.features.delayed_events.delayed_event import (
    Action,
    AlreadyFinalised,
    DelayedEvent,
    Finalised,
    Reason,
    StateReplaced,
)
from tremula.features.delayed_events.storage import Item
from tremula.infra.bus import BusUnavailable
from tremula.infra.clock import Clock
from tremula.infra.db import Conflict, DatabaseUnavailable, Reader
from tremula.infra.journal import Journal
from tremula.infra.locks import KeyedLocks
from tremula.infra.slots import SLOTS, CallTypes, Slots, slot_of
from tremula.infra.supervisor import Supervisor
from tremula.protocol.errors import LimitExceeded, MatrixError, NotFound
from tremula.protocol.identifiers import EventId
from tremula.rooms.events import PersistedEvent
from tremula.rooms.room import EVENT_TOPIC

SCHEDULE: Final = "delayed_events_schedule"
"""Takes a `DelayedEvent` to the holder of its user's slot; answers its delay ID."""
ACT: Final = "delayed_events_act"
"""Takes an `Act` there."""

_FINALISED_KEPT_MS: Final = 7 * 24 * 3600 * 1000
_FINALISED_KEPT_MAX: Final = 1_000
_FORGET_EVERY_MS: Final = 3600 * 1000
# So long it is slept at most: the clock may be set.
_SLEEP_MAX_S: Final = 600.0
# What can't be sent now, since the database or a process is away, soon will be.
_RETRY_MS: Final = 2_000
_SEND_S: Final = 60
_SENT_AT_ONCE_MAX: Final = 32

log = structlog.get_logger(__name__)


class Act(Struct, frozen=True):
    """Somebody wants something to be done with a delayed event."""

    delay_id: str
    action: Action


class Sending(Protocol):
    """What sends an event at last."""

    async def send(self, event: DelayedEvent) -> EventId:
        """Send *event* as its user, as of now; once, however often it is called.

        Raises:
            MatrixError: the user may not, or not now.
        """
        ...

    async def is_replaced(self, event: DelayedEvent) -> bool:
        """Whether somebody else has set the state since *event* was scheduled."""
        ...


class Keeper:
    """Keeps what the users have scheduled whose slots are held here.

    One timer for all of them; `run` is meant for the supervisor.
    """

    def __init__(
        self,
        *,
        db: Reader,
        journal: Journal,
        clock: Clock,
        slots: Slots,
        sending: Sending,
        supervisor: Supervisor,
        max_scheduled: int,
    ) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._slots = slots
        self._sending = sending
        self._supervisor = supervisor
        self._max_scheduled = max_scheduled
        self._agenda = Agenda()
        # By delay ID; while an event is being scheduled, by its user.
        self._locks: KeyedLocks[str] = KeyedLocks()
        self._turns = asyncio.Semaphore(_SENT_AT_ONCE_MAX)
        self._is_changed = asyncio.Event()
        # Slots whose events are still to be read.
        self._unread: set[int] = set()
        self._forget_at_ms = 0
        slots.register(SCHEDULE, self._schedule, CallTypes(DelayedEvent, str))
        slots.register(ACT, self._act, CallTypes(Act, None))
        slots.on_taken(self._taken)
        slots.on_gone(self._agenda.drop_slots)
        journal.subscribe(EVENT_TOPIC, self._on_event)

    # Commands

    async def _schedule(self, user_id: str, event: DelayedEvent) -> str:
        async with self._locks.of(user_id):
            scheduled_before = await storage.find_delay_id(self._db, event)
            if scheduled_before is not None:
                return scheduled_before
            scheduled = await storage.scheduled_of(self._db, event.user_id)
            if scheduled.count >= self._max_scheduled:
                next_ts_ms = scheduled.next_ts_ms or 0
                raise LimitExceeded(
                    "You have scheduled as many events as you may.",
                    retry_after_ms=max(next_ts_ms - self._clock.now_ms(), 1),
                )
            unit = self._journal.unit()
            storage.insert_delayed_event(unit, event)
            try:
                await self._journal.commit(unit)
            except Conflict:
                # Of two processes that both believed to hold the slot.
                scheduled_before = await storage.find_delay_id(self._db, event)
                if scheduled_before is None:
                    raise
                return scheduled_before
        self._put(_item(event))
        return event.delay_id

    async def _act(self, _user_id: str, act: Act) -> None:
        async with self._locks.of(act.delay_id):
            event = await storage.find_delayed_event(self._db, act.delay_id)
            if event is None:
                raise NotFound("There is no such delayed event.")
            if event.finalised is None and event.is_begun:
                event = await self._find_out(event)
            if event.finalised is not None:
                _check_outcome(event.finalised, act.action)
            elif act.action is Action.RESTART:
                await self._restart(event)
            elif act.action is Action.CANCEL:
                await self._finalise(event, Reason.ACTION)
            else:
                await self._send_now(event)

    async def _find_out(self, event: DelayedEvent) -> DelayedEvent:
        """What has become of an event that was begun, perhaps before a crash.

        It is being sent now if it was not.
        """
        try:
            event_id = await self._sending.send(event)
        except MatrixError as error:
            if error.http_status >= 500:
                raise
            return event
        return await self._finalise(event, Reason.DELAY, event_id=event_id)

    async def _restart(self, event: DelayedEvent) -> None:
        since_ts_ms = self._clock.now_ms()
        unit = self._journal.unit()
        storage.update_since(unit, event.delay_id, since_ts_ms=since_ts_ms)
        await self._journal.commit(unit)
        self._put(_item(replace(event, since_ts_ms=since_ts_ms)))

    async def _send_now(self, event: DelayedEvent) -> None:
        try:
            event_id = await self._send_once(event)
        except StateReplaced as error:
            await self._finalise(event, Reason.ACTION, error=error)
            raise
        except MatrixError as error:
            if error.http_status < 500:
                await self._set_begun(event, is_begun=False)
            raise
        await self._finalise(event, Reason.ACTION, event_id=event_id)

    async def _send_once(self, event: DelayedEvent) -> EventId:
        if not event.is_begun:
            if await self._sending.is_replaced(event):
                raise StateReplaced
            await self._set_begun(event, is_begun=True)
        return await self._sending.send(event)

    async def _set_begun(self, event: DelayedEvent, *, is_begun: bool) -> None:
        unit = self._journal.unit()
        unit.under(self._slots.lease(event.user_id))
        storage.update_begun(unit, event.delay_id, is_begun=is_begun)
        await self._journal.commit(unit)

    # The timer

    async def run(self) -> None:
        """Send what is due, for ever."""
        self._unread = set(range(SLOTS))
        while True:
            self._is_changed.clear()
            await self.take_up()
            self.begin_due()
            await self._forget_old_at_times()
            next_ts_ms = self._agenda.next_ts_ms
            pause_s = _SLEEP_MAX_S
            if next_ts_ms is not None:
                left_ms = max(next_ts_ms - self._clock.now_ms(), 0)
                pause_s = min(pause_s, left_ms / 1000)
            try:
                async with asyncio.timeout(pause_s):
                    await self._is_changed.wait()
            except TimeoutError:
                continue

    def begin_due(self) -> None:
        """Begin to send what is due, each by itself: no room holds up another."""
        for item in self._agenda.take_due(self._clock.now_ms()):
            if self._slots.holds(item.user_id):
                self._supervisor.run_once("delayed_event", partial(self._send, item))

    async def _send(self, item: Item) -> None:
        try:
            async with self._turns, asyncio.timeout(_SEND_S):
                await self.send_due(item.delay_id)
        except (DatabaseUnavailable, BusUnavailable, TimeoutError) as outage:
            self._try_again(item, str(outage) or "it takes too long")
        except LimitExceeded as limit:
            pause_ms = max(limit.retry_after_ms or 0, _RETRY_MS)
            self._try_again(item, limit.message, pause_ms=pause_ms)
        except MatrixError as outage:
            if outage.http_status < 500:
                raise
            self._try_again(item, outage.message)

    def _try_again(self, item: Item, reason: str, *, pause_ms: int = _RETRY_MS) -> None:
        log.warning("delayed_event_waits", delay_id=item.delay_id[:8], reason=reason)
        if self._slots.holds(item.user_id):
            at_ms = self._clock.now_ms() + pause_ms
            self._put(replace(item, send_ts_ms=at_ms))

    async def send_due(self, delay_id: str) -> None:
        """Send an event if its time has come, or note why it can't be sent.

        Raises:
            LimitExceeded: the user has too much sent at this time.
            MatrixError: (500 or more) not now.
        """
        async with self._locks.of(delay_id):
            event = await storage.find_delayed_event(self._db, delay_id)
            if event is None or event.finalised is not None:
                return
            if event.send_ts_ms > self._clock.now_ms():
                self._put(_item(event))
                return
            try:
                event_id = await self._send_once(event)
            except LimitExceeded:
                # While it waits for its turn it may be cancelled, or replaced.
                await self._set_begun(event, is_begun=False)
                raise
            except MatrixError as error:
                if error.http_status >= 500:
                    raise
                await self._finalise(event, Reason.DELAY, error=error)
            else:
                await self._finalise(event, Reason.DELAY, event_id=event_id)

    async def _finalise(
        self,
        event: DelayedEvent,
        reason: Reason,
        *,
        event_id: EventId | None = None,
        error: MatrixError | None = None,
    ) -> DelayedEvent:
        finalised = Finalised(
            self._clock.now_ms(),
            reason,
            event_id,
            None if error is None else orjson.dumps(error.body()).decode(),
        )
        unit = self._journal.unit()
        unit.under(self._slots.lease(event.user_id))
        storage.update_finalised(unit, event.delay_id, finalised)
        storage.delete_finalised_beyond(unit, event.user_id, newest=_FINALISED_KEPT_MAX)
        await self._journal.commit(unit)
        self._agenda.drop(event.delay_id)
        return replace(event, finalised=finalised)

    # What is known of what is scheduled

    def _put(self, item: Item) -> None:
        self._agenda.put(item)
        self._is_changed.set()

    def _taken(self, slots: Collection[int]) -> None:
        self._unread |= set(slots)
        self._is_changed.set()

    async def take_up(self) -> None:
        """Note what is scheduled in the slots that have come here.

        When it is due, it is read anew: what is old here does no harm.
        """
        slots, self._unread = self._unread, set[int]()
        last = ""
        while slots and (page := await storage.items_after(self._db, last)):
            for item in page:
                is_new = slot_of(item.user_id) in slots
                if is_new and self._slots.holds(item.user_id):
                    self._agenda.put(item)
            last = page[-1].delay_id

    async def _forget_old_at_times(self) -> None:
        now_ms = self._clock.now_ms()
        if now_ms >= self._forget_at_ms:
            self._forget_at_ms = now_ms + _FORGET_EVERY_MS
            await self.forget_old()

    async def forget_old(self) -> None:
        """Forget what has ended more than a week ago."""
        unit = self._journal.unit()
        kept_from_ms = self._clock.now_ms() - _FINALISED_KEPT_MS
        storage.delete_finalised_before(unit, kept_from_ms)
        await self._journal.commit(unit)

    # State that others set

    def _on_event(self, _pos: int, _key: Hashable, payload: object) -> None:
        assert isinstance(payload, PersistedEvent)
        stored = payload.stored
        if stored.state_key is None or not len(self._agenda):
            return
        key = (stored.type, stored.state_key)
        for item in self._agenda.of_state(payload.room_id, key):
            is_later = stored.journal_pos > item.scheduled_pos
            if is_later and stored.sender != item.user_id:
                self._supervisor.run_once(
                    "delayed_event", partial(self._cancel_replaced, item.delay_id)
                )

    async def _cancel_replaced(self, delay_id: str) -> None:
        async with self._locks.of(delay_id):
            event = await storage.find_delayed_event(self._db, delay_id)
            if event is None or event.finalised is not None or event.is_begun:
                return
            await self._finalise(event, Reason.ACTION, error=StateReplaced())


def _item(event: DelayedEvent) -> Item:
    return Item(
        event.delay_id,
        event.user_id,
        event.room_id,
        event.type,
        event.state_key,
        event.send_ts_ms,
        event.scheduled_pos,
    )


def _check_outcome(finalised: Finalised, action: Action) -> None:
    """Let who repeats a request have its answer.

    Raises:
        AlreadyFinalised: it has ended in another way.
    """
    wanted = Action.SEND if finalised.is_sent else Action.CANCEL
    if action is not wanted:
        how = "sent" if finalised.is_sent else "cancelled"
        raise AlreadyFinalised(f"The delayed event has been {how} already.")
