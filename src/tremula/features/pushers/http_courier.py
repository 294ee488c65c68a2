"""Delivers to push gateways."""

from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import Struct
from msgspec.structs import replace

from tremula.features.push.service import Notified
from tremula.features.pushers import storage
from tremula.features.pushers.gateway import GatewayFailed, PushGateways
from tremula.features.pushers.notification import (
    Subject,
    about_counts,
    about_event,
    tweaks_of,
)
from tremula.features.pushers.notified import UnreadNotifications
from tremula.features.pushers.pusher import StoredPusher
from tremula.features.pushers.service import Pushers
from tremula.features.pushers.subjects import Subjects
from tremula.infra.clock import Clock
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots
from tremula.protocol.identifiers import UserId

log = structlog.get_logger(__name__)

# After an outage nobody wants to hear more at once.
_NOTIFICATIONS_MAX: Final = 50
_KEPT_MS: Final = 24 * 3_600_000
_FIRST_PAUSE_MS: Final = 5_000
_LONGEST_PAUSE_MS: Final = 3_600_000


class HttpCourier(Struct, frozen=True, kw_only=True):
    """Tells a push gateway of each event, one after the other, and of what was read.

    What comes while a push gateway can't be reached waits until it can: the newest,
    and what is still unread then. Implements `Courier`.
    """

    pushers: Pushers
    journal: Journal
    clock: Clock
    slots: Slots
    gateways: PushGateways
    notifications: UnreadNotifications
    subjects: Subjects

    async def deliver(
        self, user_id: UserId, pushers: Sequence[StoredPusher], *, up_to: int
    ) -> int | None:
        """See `Courier`."""
        after = min(each.pos for each in pushers)
        found = await self.notifications.after(
            user_id, after, up_to=up_to, limit=_NOTIFICATIONS_MAX
        )
        unread = await self.notifications.count(user_id)
        try:
            for notified in found:
                pushers = await self._tell(user_id, pushers, notified, unread)
            await self._tell_counts(user_id, pushers, unread)
        except GatewayFailed as error:
            return await self._pause(user_id, pushers, error)
        return None

    async def _tell(
        self,
        user_id: UserId,
        pushers: Sequence[StoredPusher],
        notified: Notified,
        unread: int,
    ) -> list[StoredPusher]:
        """Tell those of *pushers* whom it is news to; returns all as they are then."""
        behind = [each for each in pushers if each.pos < notified.pos]
        rejected: Sequence[str] = ()
        subject = await self.subjects.of(user_id, notified)
        if behind and subject is not None and not self._is_stale(behind, subject):
            tweaks = tweaks_of(notified.actions)
            body = about_event(subject, behind, tweaks, unread=unread)
            rejected = await self.gateways.notify(behind[0].pusher.url, body)
            behind = [replace(each, badge=unread, failures=0) for each in behind]
        told = [replace(each, pos=notified.pos) for each in behind]
        others = [each for each in pushers if each.pos >= notified.pos]
        return [*others, *await self._store(user_id, told, rejected)]

    async def _tell_counts(
        self, user_id: UserId, pushers: Sequence[StoredPusher], unread: int
    ) -> None:
        """Tell those who show more than is left; more is told with what it is."""
        outdated = [each for each in pushers if each.badge > unread]
        if not outdated:
            return
        body = about_counts(outdated, unread=unread)
        rejected = await self.gateways.notify(outdated[0].pusher.url, body)
        told = [replace(each, badge=unread, failures=0) for each in outdated]
        await self._store(user_id, told, rejected)

    async def _store(
        self,
        user_id: UserId,
        told: Sequence[StoredPusher],
        rejected: Sequence[str],
    ) -> list[StoredPusher]:
        """Store how far *told* have come; returns those that were not rejected."""
        gone = [each for each in told if each.key.pushkey in rejected]
        kept = [each for each in told if each.key.pushkey not in rejected]
        unit = self.journal.unit()
        unit.under(self.slots.lease(user_id))
        storage.update_sent(unit, kept)
        if gone:
            log.info("pushers_rejected", user_id=user_id, count=len(gone))
            self.pushers.remove_rejected(unit, user_id, gone)
        await self.journal.commit(unit)
        return kept

    def _is_stale(self, pushers: Sequence[StoredPusher], subject: Subject) -> bool:
        """Whether it could not be told for so long that it is no news any more."""
        age_ms = self.clock.now_ms() - subject.ts_ms
        return age_ms > _KEPT_MS and any(each.failures for each in pushers)

    async def _pause(
        self, user_id: UserId, pushers: Sequence[StoredPusher], error: GatewayFailed
    ) -> int:
        failures = 1 + max(each.failures for each in pushers)
        pause_ms = min(_FIRST_PAUSE_MS << min(failures - 1, 20), _LONGEST_PAUSE_MS)
        retry_at_ms = self.clock.now_ms() + pause_ms
        log.info(
            "push_not_taken", user_id=user_id, failures=failures, reason=str(error)
        )
        unit = self.journal.unit()
        unit.under(self.slots.lease(user_id))
        storage.update_failed(unit, pushers, failures=failures, retry_at_ms=retry_at_ms)
        await self.journal.commit(unit)
        return retry_at_ms
