"""Delayed events, as clients schedule, look at and change them."""

import secrets
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tremula.features.delayed_events import storage
from tremula.features.delayed_events.delayed_event import (
    Action,
    DelayedEvent,
    MaxDelayExceeded,
)
from tremula.features.delayed_events.keeper import ACT, SCHEDULE, Act
from tremula.features.messages.service import DelayedDraft
from tremula.infra.clock import Clock
from tremula.infra.config import DelayedEvents as Limits
from tremula.infra.db import Reader
from tremula.infra.http import Requester
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.errors import Forbidden, NotFound, TooLarge, UserSuspended
from tremula.protocol.identifiers import ID_BYTES_MAX, DeviceId, UserId

# An event is no larger as a whole.
_CONTENT_BYTES_MAX: Final = 65_536
_DELAY_ID_BYTES: Final = 24
_SHOWN_MAX: Final = 1_000
_FINALISED_SHOWN_MAX: Final = 100


class DelayedEvents(Struct, frozen=True):
    """Takes delayed events to whoever keeps those of their user."""

    db: Reader
    journal: Journal
    clock: Clock
    slots: Slots
    limits: Limits

    async def schedule(self, requester: Requester, draft: DelayedDraft) -> str:
        """Have an event sent later, once for its transaction ID; its delay ID.

        What the user may do is looked at when it is sent.

        Raises:
            Forbidden: nothing is delayed here.
            UserSuspended: see the name.
            MaxDelayExceeded: by so long it isn't.
            TooLarge, BadJson: the content can't be an event's.
            LimitExceeded: the user has scheduled as much as anybody may.
        """
        if not self.limits.max_delay_s or not self.limits.max_scheduled:
            raise Forbidden("Sending events later is not allowed here.")
        if requester.is_suspended:
            raise UserSuspended("suspended accounts may not do this")
        if draft.delay_ms > self.limits.max_delay_s * 1000:
            raise MaxDelayExceeded(self.limits.max_delay_s * 1000)
        content = encode_canonical(draft.content)
        names = (draft.room_id, draft.type, draft.state_key or "")
        if len(content) > _CONTENT_BYTES_MAX or any(
            len(name.encode()) > ID_BYTES_MAX for name in names
        ):
            raise TooLarge("The event is too large.")
        event = DelayedEvent(
            delay_id=secrets.token_urlsafe(_DELAY_ID_BYTES),
            user_id=requester.user_id,
            device_id=requester.device_id or DeviceId(""),
            txn_id=draft.txn_id,
            room_id=draft.room_id,
            type=draft.type,
            state_key=draft.state_key,
            content=content.decode(),
            delay_ms=draft.delay_ms,
            since_ts_ms=self.clock.now_ms(),
            scheduled_pos=self.journal.position,
        )
        delay_id: str = await self.slots.call(SCHEDULE, event.user_id, event)
        return delay_id

    async def act(self, delay_id: str, action: Action) -> None:
        """Send, cancel or restart a scheduled event; safe to repeat.

        Whoever knows *delay_id* may do so.

        Raises:
            NotFound: there is no such event, or not any more.
            AlreadyFinalised: it has ended in another way.
            MatrixError: it is to be sent, and can't be; it stays scheduled.
        """
        event = await self._get(delay_id)
        await self.slots.call(ACT, event.user_id, Act(delay_id, action))

    async def get(self, user_id: UserId, delay_id: str) -> DelayedEvent:
        """An event that *user_id* has scheduled, also if it has been sent since.

        Raises:
            NotFound: there is none.
        """
        event = await self._get(delay_id)
        if event.user_id != user_id:
            raise _not_found()
        return event

    async def scheduled_of(self, user_id: UserId) -> list[DelayedEvent]:
        """What a user has scheduled, the next one first."""
        return await storage.delayed_events_of(self.db, user_id, limit=_SHOWN_MAX)

    async def finalised_of(self, user_id: UserId) -> list[DelayedEvent]:
        """What was sent, cancelled or refused lately, the newest first."""
        return await storage.finalised_events_of(
            self.db, user_id, limit=_FINALISED_SHOWN_MAX
        )

    async def _get(self, delay_id: str) -> DelayedEvent:
        event = await storage.find_delayed_event(self.db, delay_id)
        if event is None:
            raise _not_found()
        return event


def capability(limits: Limits) -> Mapping[str, int]:
    """The limits, as capability ``m.delayed_events``."""
    return {
        "max_delay_ms": limits.max_delay_s * 1000,
        "max_scheduled": limits.max_scheduled,
    }


def _not_found() -> NotFound:
    return NotFound("There is no such delayed event.")
