"""Pushers of our users: set, shown, and gone with whoever has set them."""

import secrets
from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from tremula.features.devices.service import Devices
from tremula.features.pushers import storage
from tremula.features.pushers.pusher import (
    EMAIL_APP_ID,
    Kind,
    Pusher,
    PusherKey,
    StoredPusher,
    check_pusher,
)
from tremula.infra.clock import Clock
from tremula.infra.db import Conflict, Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.email_addresses import EmailAddress
from tremula.protocol.errors import (
    InvalidParam,
    NotFound,
    ThreepidNotFound,
    UnknownToken,
)
from tremula.protocol.identifiers import DeviceId, UserId

__all__ = ["TOPIC", "AddressBook", "PusherChange", "Pushers"]

TOPIC: Final = "pushers"
"""Announced with the user ID as key when the pushers of a user may have changed."""

PUSHERS_MAX: Final = 100
_TOKEN_BYTES: Final = 32


class AddressBook(Protocol):
    """Which e-mail addresses users have proved to be theirs."""

    async def has_email(self, user_id: UserId, address: EmailAddress) -> bool:
        """Whether mail to *address* reaches the user, and nobody else."""
        ...


class PusherChange(Struct, frozen=True):
    """A pusher as the device *device_id* sets it.

    ``is_shared``: other users keep pushers of the same key. ``is_toggle``: it is said
    whether the pusher is enabled, which another device may do than it belongs to.
    """

    pusher: Pusher
    device_id: DeviceId | None
    is_shared: bool
    is_toggle: bool


class Pushers(Struct, frozen=True):
    """Keeps pushers. Implements `DeviceObserver`.

    Without *addresses* there is no mail, and no pusher that sends any.
    """

    db: Reader
    journal: Journal
    clock: Clock
    addresses: AddressBook | None
    devices: Devices

    async def all_of(self, user_id: UserId) -> list[StoredPusher]:
        """The pushers of a user."""
        return await storage.pushers_of(self.db, user_id)

    async def set(self, user_id: UserId, change: PusherChange) -> None:
        """Make a pusher, or change it.

        Raises:
            InvalidParam: it can't be kept or used, or there are too many.
            ThreepidNotFound: its e-mail address is not the user's.
            UnknownToken: the device is logged out by now.
        """
        check_pusher(change.pusher)
        await self._check_address(user_id, change.pusher)
        key = change.pusher.key
        known = await self.all_of(user_id)
        is_new = all(each.key != key for each in known)
        if is_new and len(known) >= PUSHERS_MAX:
            raise InvalidParam(f"no more than {PUSHERS_MAX} pushers")
        others = (
            () if change.is_shared else await storage.others_with(self.db, user_id, key)
        )
        unit = self.journal.unit()
        if change.device_id is not None:
            self.devices.expect(unit, user_id, change.device_id)
        if not change.is_shared:
            storage.delete_of_others(unit, user_id, key)
        self._upsert(unit, user_id, change)
        for each in others:
            self._announce(unit, each)
        try:
            await self.journal.commit(unit)
        except Conflict:
            raise UnknownToken("the device was logged out") from None

    async def delete(self, user_id: UserId, key: PusherKey) -> None:
        """Remove a pusher of the user, if it is there."""
        unit = self.journal.unit()
        storage.delete_pusher(unit, user_id, key)
        self._announce(unit, user_id)
        await self.journal.commit(unit)

    def remove_rejected(
        self, unit: JournalUnit, user_id: UserId, pushers: Sequence[StoredPusher]
    ) -> None:
        """Remove in *unit* what a push gateway does not know, but for those that were
        set again meanwhile. To be called right before the commit.
        """
        storage.delete_rejected(unit, pushers)
        self._announce(unit, user_id)

    async def find_unsubscribing(self, token: str) -> StoredPusher | None:
        """The pusher that the token of a mail's link is of."""
        return await storage.find_by_unsubscribe_token(self.db, token)

    async def unsubscribe(self, token: str) -> None:
        """Remove the pusher that the token of a mail's link is of.

        Raises:
            NotFound: there is none.
        """
        stored = await self.find_unsubscribing(token)
        if stored is None:
            raise NotFound("nobody is subscribed by this link")
        await self.delete(stored.user_id, stored.key)

    async def address_removed(self, user_id: UserId, address: EmailAddress) -> None:
        """Send no more mail to an address that is not the user's any more.

        One that this does not come to, by a crash, is found when there is to be mail.
        """
        await self.delete(user_id, PusherKey(EMAIL_APP_ID, address))

    async def has_address(self, user_id: UserId, pusher: Pusher) -> bool:
        """Whether the address that a pusher mails to is the user's."""
        address = EmailAddress(pusher.key.pushkey)
        return self.addresses is not None and (
            await self.addresses.has_email(user_id, address)
        )

    async def _check_address(self, user_id: UserId, pusher: Pusher) -> None:
        if pusher.kind is Kind.EMAIL and not await self.has_address(user_id, pusher):
            raise ThreepidNotFound("this e-mail address is not one of your account")

    def _upsert(self, unit: JournalUnit, user_id: UserId, change: PusherChange) -> None:
        pos = self._announce(unit, user_id)
        is_email = change.pusher.kind is Kind.EMAIL
        stored = StoredPusher(
            user_id=user_id,
            pusher=change.pusher,
            device_id=None if is_email else change.device_id,
            set_ts_ms=self.clock.now_ms(),
            pos=pos,
            badge=0,
            failures=0,
            retry_at_ms=0,
            unsubscribe_token=(
                secrets.token_urlsafe(_TOKEN_BYTES) if is_email else None
            ),
        )
        storage.upsert_pusher(unit, stored, keeps_device=change.is_toggle)

    def _announce(self, unit: JournalUnit, user_id: UserId) -> int:
        pos = unit.pos()
        unit.announce(TOPIC, user_id, None, pos=pos)
        return pos

    # The lives of devices

    def devices_deleted(
        self, unit: JournalUnit, user_id: UserId, device_ids: Sequence[DeviceId]
    ) -> None:
        """Nobody is to be notified on a device that is logged out."""
        storage.delete_of_devices(unit, user_id, device_ids)
        self._announce(unit, user_id)

    def all_devices_deleted(
        self,
        unit: JournalUnit,
        user_id: UserId,
        known: Sequence[DeviceId],  # noqa: ARG002 - the rows say which
        *,
        but_device_id: DeviceId | None,
    ) -> None:
        """As `devices_deleted`."""
        storage.delete_of_all_devices(unit, user_id, but_device_id=but_device_id)
        self._announce(unit, user_id)
