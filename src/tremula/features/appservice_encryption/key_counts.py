"""How many one-time keys the devices of bridges' users have left (MSC3202)."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from itertools import count, islice
from typing import Any, Final

from msgspec import Struct

from tremula.features.appservice_transactions.service import (
    Gathered,
    takes_transactions,
)
from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.devices.service import TOPIC as DEVICES_TOPIC
from tremula.features.devices.service import Devices
from tremula.features.one_time_keys.service import TOPIC as KEYS_TOPIC
from tremula.features.one_time_keys.service import OneTimeKeys
from tremula.infra.clock import Clock
from tremula.infra.duties import Duties
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots, slot_of
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.one_time_keys import SIGNED_CURVE25519
from tremula.rooms.events import StoredEvent

_USERS_MAX: Final = 100
_NOTED_MAX: Final = 10_000
# How many transactions with events say again that a device has no keys.
_REMINDERS: Final = 10

_ByDevice = dict[UserId, dict[DeviceId, Any]]


class _Change(Struct, frozen=True):
    appservice_id: str
    user_id: UserId


class AppserviceKeyCounts:
    """Implements `TransactionPart`: tells of devices that log in, which then upload
    keys (COMPAT(mautrix-python, 0.20)), and of those whose keys have changed. A bridge
    that is told while it still starts may take no notice: that a device has no keys is
    said again with the next events.

    Which those are is in memory only: bridges log in whenever they start, and each key
    that is claimed tells of it again. All processes note it for a while, so that it
    outlasts one of them.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        slots: Slots,
        appservices: Appservices,
        devices: Devices,
        keys: OneTimeKeys,
    ) -> None:
        self._duties = Duties(slots, clock, self._tell)
        self._appservices = appservices
        self._devices = devices
        self._keys = keys
        self._note: list[Callable[[str], None]] = []
        # Of each application service its users, and which change was the last.
        self._changed: dict[str, dict[UserId, int]] = {}
        self._changes = count()
        # Of each, those with a device without keys: how often to say so again.
        self._reminders: dict[str, dict[UserId, int]] = {}
        slots.on_gone(self._slots_gone)
        appservices.on_changed(self._appservice_changed)
        journal.subscribe(KEYS_TOPIC, self._keys_changed)
        journal.subscribe(DEVICES_TOPIC, self._keys_changed)

    def on_news(self, note: Callable[[str], None]) -> None:
        """Call *note* with the ID of whoever is to be told something."""
        self._note.append(note)

    async def waiting(self) -> Collection[str]:
        """See `TransactionPart`: nothing is stored."""
        return ()

    async def gather(
        self, appservice: Appservice, events: Sequence[StoredEvent]
    ) -> Gathered | None:
        """See `TransactionPart`."""
        changed = self._changed.get(appservice.id, {})
        reminders = self._reminders.get(appservice.id, {}) if events else {}
        if not changed and not reminders:
            return None
        told = dict(islice(changed.items(), _USERS_MAX))
        counts: _ByDevice = {}
        unused: _ByDevice = {}
        for user_id in {**told, **reminders}:
            for device in await self._devices.all_of(user_id):
                device_id = device.device_id
                left = await self._keys.counts(user_id, device_id)
                by_algorithm = {SIGNED_CURVE25519: 0, **left}
                counts.setdefault(user_id, {})[device_id] = by_algorithm
                types = await self._keys.unused_fallback_types(user_id, device_id)
                unused.setdefault(user_id, {})[device_id] = types
        members = {
            "device_one_time_keys_count": counts,
            "device_unused_fallback_key_types": unused,
        }
        unstable = {f"org.matrix.msc3202.{key}": members[key] for key in members}
        return Gathered(
            {**members, **unstable},
            lambda _unit: self._told(appservice.id, told, reminders, counts),
            is_news=bool(told),
            is_more=len(told) < len(changed),
        )

    def _told(
        self,
        appservice_id: str,
        told: Mapping[UserId, int],
        reminded: Mapping[UserId, int],
        counts: _ByDevice,
    ) -> None:
        changed = self._changed.get(appservice_id, {})
        for user_id, change in told.items():
            if changed.get(user_id) == change:
                del changed[user_id]
        if not changed:
            self._changed.pop(appservice_id, None)
        reminders = self._reminders.pop(appservice_id, {})
        for user_id in {**told, **reminded}:
            left = _REMINDERS if user_id in told else reminded[user_id] - 1
            reminders.pop(user_id, None)
            if left and len(reminders) < _USERS_MAX and _lacks_keys(counts, user_id):
                reminders[user_id] = left
        if reminders:
            self._reminders[appservice_id] = reminders

    async def run(self) -> None:
        """Note for ever who is to be told; meant for the supervisor."""
        await self._duties.run()

    def _keys_changed(self, _pos: int, user_id: Hashable, _payload: object) -> None:
        assert isinstance(user_id, str)
        for appservice in self._appservices.of_user(UserId(user_id)):
            wants = appservice.registration.receives_encryption
            if wants and takes_transactions(appservice):
                change = _Change(appservice.id, UserId(user_id))
                self._duties.note(appservice.id, change, change)

    async def _tell(self, change: _Change) -> None:
        changed = self._changed.setdefault(change.appservice_id, {})
        if len(changed) < _NOTED_MAX:
            changed[change.user_id] = next(self._changes)
        for note in self._note:
            note(change.appservice_id)

    def _appservice_changed(self, appservice_id: str) -> None:
        self._changed.pop(appservice_id, None)
        self._reminders.pop(appservice_id, None)

    def _slots_gone(self, slots: Collection[int]) -> None:
        for appservice_id in {*self._changed, *self._reminders}:
            if slot_of(appservice_id) in slots:
                self._appservice_changed(appservice_id)


def _lacks_keys(counts: _ByDevice, user_id: UserId) -> bool:
    return any(not any(left.values()) for left in counts.get(user_id, {}).values())
