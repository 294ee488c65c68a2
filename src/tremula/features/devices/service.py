"""Devices of our own users: they come with a login and go with a logout."""

import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from tremula.features.devices import storage
from tremula.features.devices.last_seen import LastSeen
from tremula.features.devices.storage import Device, DeviceUse
from tremula.features.sessions.service import IssuedTokens, Sessions
from tremula.features.uia.service import Authenticated, Uia
from tremula.features.users.service import User
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.errors import InvalidParam, NotFound
from tremula.protocol.identifiers import DeviceId, UserId, parse_device_id
from tremula.protocol.unprinted import Unprinted

__all__ = [
    "DELETED_AT_ONCE_MAX",
    "DISPLAY_NAME_CHARS_MAX",
    "TOPIC",
    "Device",
    "DeviceChange",
    "DeviceObserver",
    "DeviceUse",
    "Devices",
    "LastSeen",
    "LoggedIn",
    "NewDevice",
    "parse_display_name",
    "parse_new_device",
]

TOPIC: Final = "device"
"""Announced with the user ID as key and a `DeviceChange` as payload."""

DISPLAY_NAME_CHARS_MAX: Final = 100
DELETED_AT_ONCE_MAX: Final = 500

_GENERATED_ID_CHARS: Final = 10


class DeviceChange(Struct, frozen=True):
    """Devices of a user that came, were renamed, or are gone."""

    changed: tuple[DeviceId, ...] = ()
    deleted: tuple[DeviceId, ...] = ()


class NewDevice(Struct, frozen=True):
    """What a client says of its device on login; no ID: the server picks one."""

    device_id: DeviceId | None = None
    display_name: str | None = None
    refreshable: bool = False


class LoggedIn(Unprinted, frozen=True):
    """A device that is logged in."""

    user_id: UserId
    device_id: DeviceId
    tokens: IssuedTokens

    def body(self) -> dict[str, object]:
        """The keys that CS ``login`` and ``register`` answers share."""
        return {
            "user_id": self.user_id,
            "device_id": self.device_id,
            **self.tokens.body(),
        }


def parse_new_device(
    device_id: str | None, display_name: str | None, *, refreshable: bool
) -> NewDevice:
    """Check what a client says of its device.

    Raises:
        InvalidParam: the ID or the name is too long or otherwise impossible.
    """
    return NewDevice(
        device_id=None if device_id is None else parse_device_id(device_id),
        display_name=None if display_name is None else parse_display_name(display_name),
        refreshable=refreshable,
    )


def parse_display_name(raw: str) -> str:
    """A device's name of at most 100 characters.

    Raises:
        InvalidParam: *raw* is longer.
    """
    if len(raw) > DISPLAY_NAME_CHARS_MAX:
        raise InvalidParam(
            f"a device's name has at most {DISPLAY_NAME_CHARS_MAX} characters"
        )
    return raw


DeviceHook = Callable[[JournalUnit, UserId, DeviceId], None]
"""Adds to the unit that changes a device, as a `DeviceObserver` does."""


class DeviceObserver(Protocol):
    """Keeps something of each device, such as its keys or its inbox.

    Adds to the unit that makes the change, right before its commit: it may take
    journal positions.
    """

    def devices_deleted(
        self, unit: JournalUnit, user_id: UserId, device_ids: Sequence[DeviceId]
    ) -> None:
        """Devices (at most 500) are gone; some may not have been there."""
        ...

    def all_devices_deleted(
        self,
        unit: JournalUnit,
        user_id: UserId,
        known: Sequence[DeviceId],
        *,
        but_device_id: DeviceId | None,
    ) -> None:
        """Every device of the user but one is gone: those that are *known*."""
        ...


class _WatchedBy(Struct, frozen=True):
    observers: list[DeviceObserver] = msgspec.field(default_factory=list)
    on_added: list[DeviceHook] = msgspec.field(default_factory=list)
    on_another: list[DeviceHook] = msgspec.field(default_factory=list)
    on_renamed: list[DeviceHook] = msgspec.field(default_factory=list)


class Devices(Struct, frozen=True):
    """Creates, shows, renames and removes devices."""

    db: Reader
    journal: Journal
    clock: Clock
    sessions: Sessions
    uia: Uia
    watched_by: _WatchedBy = msgspec.field(default_factory=_WatchedBy)
    turns: KeyedLocks[UserId] = msgspec.field(default_factory=KeyedLocks)

    def observe(self, observer: DeviceObserver) -> None:
        """Have *observer* add to every unit that deletes devices from now on."""
        self.watched_by.observers.append(observer)

    def on_added(self, hook: DeviceHook) -> None:
        """Have *hook* add to every unit that logs a device in: a new one, or again."""
        self.watched_by.on_added.append(hook)

    def on_another(self, hook: DeviceHook) -> None:
        """As `on_added`, but for the first device of a new user."""
        self.watched_by.on_another.append(hook)

    def on_renamed(self, hook: DeviceHook) -> None:
        """Have *hook* add to every unit that gives a device another name."""
        self.watched_by.on_renamed.append(hook)

    async def log_in(
        self,
        user_id: UserId,
        device: NewDevice,
        *,
        password_hash: str | None = None,
        by_device_id: DeviceId | None = None,
    ) -> LoggedIn:
        """Add or take over a device, and issue its tokens.

        Raises:
            Conflict: the account may not be used by now; or it has another password
                than *password_hash*, or no device *by_device_id*, if they are given.
        """
        device_id = device.device_id or _generate_device_id()
        async with self.turns.of(user_id):
            unit = self.journal.unit()
            tokens = self.sessions.issue(
                unit,
                user_id,
                device_id,
                refreshable=device.refreshable,
                password_hash=password_hash,
            )
            if by_device_id is not None:
                storage.check_device(unit, user_id, by_device_id)
            self.add(unit, user_id, device_id, device.display_name)
            await self.journal.commit(unit)
        return LoggedIn(user_id, device_id, tokens)

    def log_in_new(self, unit: JournalUnit, user: User, device: NewDevice) -> LoggedIn:
        """Add a device of *user*, whom *unit* makes, and issue its tokens.

        To be called right before the commit: it takes journal positions.
        """
        device_id = device.device_id or _generate_device_id()
        tokens = self.sessions.issue(
            unit,
            user.user_id,
            device_id,
            refreshable=device.refreshable,
            new_user=user,
        )
        self._add(unit, user.user_id, device_id, device.display_name)
        return LoggedIn(user.user_id, device_id, tokens)

    def expect(self, unit: JournalUnit, user_id: UserId, device_id: DeviceId) -> None:
        """Have *unit* fail with ``Conflict`` if the device is gone by then: what it
        stores would be left. To be called first.
        """
        self.sessions.lock(unit, user_id)
        storage.check_device(unit, user_id, device_id)

    def add(
        self,
        unit: JournalUnit,
        user_id: UserId,
        device_id: DeviceId,
        display_name: str | None,
    ) -> None:
        """Add a device in *unit*, unless it is there, without logging it in.

        To be called right before the commit: it takes journal positions.
        """
        self._add(unit, user_id, device_id, display_name)
        for hook in self.watched_by.on_another:
            hook(unit, user_id, device_id)

    def _add(
        self,
        unit: JournalUnit,
        user_id: UserId,
        device_id: DeviceId,
        display_name: str | None,
    ) -> None:
        storage.insert_device(
            unit, user_id, device_id, display_name, ts_ms=self.clock.now_ms()
        )
        change = DeviceChange(changed=(device_id,))
        unit.announce(TOPIC, user_id, change, pos=unit.pos())
        for hook in self.watched_by.on_added:
            hook(unit, user_id, device_id)

    async def all_of(self, user_id: UserId) -> list[Device]:
        """Every device of the user."""
        return await storage.devices_of_user(self.db, user_id)

    async def uses_of(self, user_id: UserId) -> list[DeviceUse]:
        """When, from where and with what the user's devices were used last."""
        return await storage.uses_of_devices(self.db, user_id)

    async def display_names(
        self, user_ids: Sequence[UserId]
    ) -> Mapping[UserId, Mapping[DeviceId, str]]:
        """The names of the devices that have one, of at most 500 users."""
        return await storage.display_names(self.db, user_ids)

    async def get(self, user_id: UserId, device_id: DeviceId) -> Device:
        """One device of the user.

        Raises:
            NotFound: the user has no such device.
        """
        device = await storage.find_device(self.db, user_id, device_id)
        if device is None:
            raise NotFound("you have no device with this ID")
        return device

    async def rename(
        self, user_id: UserId, device_id: DeviceId, display_name: str | None
    ) -> None:
        """Give a device another name; None leaves it as it is.

        Raises:
            NotFound: the user has no such device.
        """
        device = await self.get(user_id, device_id)
        if display_name is None or display_name == device.display_name:
            return
        unit = self.journal.unit()
        storage.update_display_name(unit, user_id, device_id, display_name)
        change = DeviceChange(changed=(device_id,))
        unit.announce(TOPIC, user_id, change, pos=unit.pos())
        for hook in self.watched_by.on_renamed:
            hook(unit, user_id, device_id)
        await self.journal.commit(unit)

    async def put(
        self, user_id: UserId, device_id: DeviceId, display_name: str | None
    ) -> bool:
        """Add a device that nobody is logged in with, or rename one; whether it is new.

        None leaves its name as it is.
        """
        if await storage.find_device(self.db, user_id, device_id):
            await self.rename(user_id, device_id, display_name)
            return False
        unit = self.journal.unit()
        self.add(unit, user_id, device_id, display_name)
        await self.journal.commit(unit)
        return True

    async def delete(
        self,
        user_id: UserId,
        device_ids: Sequence[DeviceId],
        *,
        proof: Authenticated | None = None,
    ) -> None:
        """Remove devices (at most 500) and their tokens. Missing ones are fine.

        Raises:
            UiaRequired: *proof* is none any more.
        """
        if not device_ids:
            return

        async def attempt() -> None:
            unit = await self.uia.unit_by(proof)
            self.remove(unit, user_id, device_ids)
            await self.journal.commit(unit)

        await reread_on_conflict(attempt)

    def remove(
        self, unit: JournalUnit, user_id: UserId, device_ids: Sequence[DeviceId]
    ) -> None:
        """As `delete`, in *unit*. To be called first, and right before the commit: it
        takes journal positions.
        """
        self.sessions.revoke_devices(unit, user_id, device_ids)
        storage.delete_devices(unit, user_id, device_ids)
        change = DeviceChange(deleted=tuple(device_ids))
        unit.announce(TOPIC, user_id, change, pos=unit.pos())
        for observer in self.watched_by.observers:
            observer.devices_deleted(unit, user_id, device_ids)

    async def log_out_all(
        self,
        user_id: UserId,
        *,
        but_device_id: DeviceId | None = None,
        also: Callable[[JournalUnit], None] | None = None,
        proof: Authenticated | None = None,
    ) -> None:
        """Remove every device of the user but one, with their tokens, and store what
        *also* adds to the unit.

        One that comes meanwhile goes with the others, and is told of as they are.

        Raises:
            UiaRequired: *proof* is none any more.
        """

        async def attempt() -> None:
            known = await self.all_of(user_id)
            unit = await self.uia.unit_by(proof)
            ids = (each.device_id for each in known)
            gone = tuple(each for each in ids if each != but_device_id)
            self._remove_all(unit, user_id, gone, but_device_id=but_device_id)
            if also is not None:
                also(unit)
            await self.journal.commit(unit)

        async with self.turns.of(user_id):
            await reread_on_conflict(attempt)

    def _remove_all(
        self,
        unit: JournalUnit,
        user_id: UserId,
        gone: Sequence[DeviceId],
        *,
        but_device_id: DeviceId | None,
    ) -> None:
        self.sessions.revoke_user(unit, user_id, but_device_id=but_device_id)
        storage.delete_devices_of_user(unit, user_id, gone, but_device_id=but_device_id)
        change = DeviceChange(deleted=tuple(gone))
        unit.announce(TOPIC, user_id, change, pos=unit.pos())
        for observer in self.watched_by.observers:
            observer.all_devices_deleted(
                unit, user_id, gone, but_device_id=but_device_id
            )


def _generate_device_id() -> DeviceId:
    letters = (
        secrets.choice(string.ascii_uppercase) for _ in range(_GENERATED_ID_CHARS)
    )
    return DeviceId("".join(letters))
