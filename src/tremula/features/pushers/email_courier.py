"""Mails users what they have not read for some minutes, all in one."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from tremula.features.push.service import Notified
from tremula.features.pushers import mail_storage, storage
from tremula.features.pushers.digest import Digest, RoomDigest
from tremula.features.pushers.mail_storage import MailedRoom
from tremula.features.pushers.notification import Subject
from tremula.features.pushers.notified import UnreadNotifications
from tremula.features.pushers.pusher import StoredPusher
from tremula.features.pushers.service import Pushers
from tremula.features.pushers.subjects import Subjects
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.infra.mail import Mail, Mailer, MailFailed, MailRefused
from tremula.infra.slots import Slots
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.identifiers import ServerName, UserId

UNSUBSCRIBE_PATH: Final = "/_matrix/tremula/unsubscribe"

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
# Until then most messages are read.
_DELAY_MS: Final = 10 * _MINUTE_MS
# Between two mails for messages of a room: the first ones, and then.
_FIRST_INTERVAL_MS: Final = 10 * _MINUTE_MS
_LONGEST_INTERVAL_MS: Final = 24 * _HOUR_MS
# A room that was quiet for so long is mailed about as if it were the first time.
_QUIET_MS: Final = 12 * _HOUR_MS
_NOTIFICATIONS_MAX: Final = 50
_FIRST_PAUSE_MS: Final = _MINUTE_MS
_LONGEST_PAUSE_MS: Final = 4 * _HOUR_MS


class MailOrigin(Struct, frozen=True):
    """What mail says of where it comes from."""

    server_name: ServerName
    base_url: str

    def unsubscribe_url(self, token: str) -> str:
        """The link that ends the mails of a pusher."""
        return f"{self.base_url}{UNSUBSCRIBE_PATH}?{urlencode({'token': token})}"


class EmailCourier(Struct, frozen=True, kw_only=True):
    """Sends digests. Implements `Courier`; each pusher is a route of its own.

    What is unread makes it wait ten minutes (``retry_at_ms``, so that a restart goes on
    waiting), and is mailed if it is still unread then. Messages of a room that was
    mailed about do not bring about another mail for ten minutes, and later for a day.
    """

    db: Reader
    journal: Journal
    clock: Clock
    slots: Slots
    pushers: Pushers
    mailer: Mailer
    notifications: UnreadNotifications
    subjects: Subjects
    origin: MailOrigin

    async def deliver(
        self, user_id: UserId, pushers: Sequence[StoredPusher], *, up_to: int
    ) -> int | None:
        """See `Courier`."""
        [stored] = pushers
        found = await self.notifications.after(
            user_id, stored.pos, up_to=up_to, limit=_NOTIFICATIONS_MAX
        )
        if not found:
            if stored.retry_at_ms:
                await self._rest(stored, pos=up_to)
            return None
        now_ms = self.clock.now_ms()
        mailed = await mail_storage.mailed_rooms(self.db, user_id, stored.key.pushkey)
        may_mail_ms = min(_may_mail_ms(mailed, each) for each in found)
        mail_at_ms = max(may_mail_ms, now_ms + _DELAY_MS)
        if not stored.retry_at_ms or stored.retry_at_ms > mail_at_ms:
            return await self._wait_until(stored, mail_at_ms)
        if stored.retry_at_ms > now_ms:
            return stored.retry_at_ms
        if may_mail_ms > now_ms:
            return await self._wait_until(stored, may_mail_ms)
        return await self._mail(stored, found, mailed)

    async def _mail(
        self,
        stored: StoredPusher,
        found: Sequence[Notified],
        mailed: Mapping[int, MailedRoom],
    ) -> int | None:
        if not await self.pushers.has_address(stored.user_id, stored.pusher):
            await self.pushers.delete(stored.user_id, stored.key)
            return None
        rooms = await self._rooms(stored.user_id, found)
        if rooms:
            try:
                await self.mailer.send(self._rendered(stored, list(rooms.values())))
            except MailRefused:
                # It will be another time, or not; this one is given up.
                pass
            except MailFailed:
                return await self._pause(stored)
        now_ms = self.clock.now_ms()
        mailed_now = {nid: _mailed(mailed.get(nid), now_ms) for nid in rooms}
        await self._rest(stored, pos=found[-1].pos, mailed_now=mailed_now)
        return None

    async def _rest(
        self,
        stored: StoredPusher,
        *,
        pos: int,
        mailed_now: Mapping[int, MailedRoom] = MappingProxyType({}),
    ) -> None:
        """Everything up to *pos* has been mailed or read: wait for what comes."""
        unit = self.journal.unit()
        unit.under(self.slots.lease(stored.user_id))
        storage.update_sent(unit, [replace(stored, pos=pos, failures=0)])
        storage.update_retry(unit, stored, retry_at_ms=0)
        for room_nid, room in mailed_now.items():
            mail_storage.upsert_mailed_room(
                unit, stored.user_id, stored.key.pushkey, room_nid, room
            )
        await self.journal.commit(unit)

    async def _rooms(
        self, user_id: UserId, found: Sequence[Notified]
    ) -> dict[int, RoomDigest]:
        subjects: dict[int, list[Subject]] = {}
        for notified in found:
            subject = await self.subjects.of(user_id, notified)
            if subject is not None:
                subjects.setdefault(notified.room_nid, []).append(subject)
        rooms: dict[int, RoomDigest] = {}
        for room_nid, of_room in subjects.items():
            title = await self.subjects.title_of(user_id, room_nid)
            if title is not None:
                rooms[room_nid] = RoomDigest(title, of_room)
        return rooms

    def _rendered(self, stored: StoredPusher, rooms: Sequence[RoomDigest]) -> Mail:
        assert stored.unsubscribe_token is not None, "pushers by e-mail have one"
        url = self.origin.unsubscribe_url(stored.unsubscribe_token)
        digest = Digest(stored.user_id, self.origin.server_name, rooms, url)
        return Mail(
            to=EmailAddress(stored.key.pushkey),
            subject=digest.subject,
            text=digest.text(),
            html=digest.html(),
            unsubscribe_url=url,
        )

    async def _pause(self, stored: StoredPusher) -> int:
        failures = stored.failures + 1
        pause_ms = min(_FIRST_PAUSE_MS << min(failures - 1, 20), _LONGEST_PAUSE_MS)
        retry_at_ms = self.clock.now_ms() + pause_ms
        unit = self.journal.unit()
        unit.under(self.slots.lease(stored.user_id))
        storage.update_failed(
            unit, [stored], failures=failures, retry_at_ms=retry_at_ms
        )
        await self.journal.commit(unit)
        return retry_at_ms

    async def _wait_until(self, stored: StoredPusher, at_ms: int) -> int:
        unit = self.journal.unit()
        unit.under(self.slots.lease(stored.user_id))
        storage.update_retry(unit, stored, retry_at_ms=at_ms)
        await self.journal.commit(unit)
        return at_ms


def _may_mail_ms(mailed: Mapping[int, MailedRoom], notified: Notified) -> int:
    """From when on the message may bring about a mail."""
    room = mailed.get(notified.room_nid)
    return 0 if room is None else room.mailed_ts_ms + room.interval_ms


def _mailed(before: MailedRoom | None, now_ms: int) -> MailedRoom:
    if before is None or now_ms > before.mailed_ts_ms + before.interval_ms + _QUIET_MS:
        return MailedRoom(now_ms, _FIRST_INTERVAL_MS)
    return MailedRoom(now_ms, _LONGEST_INTERVAL_MS)
