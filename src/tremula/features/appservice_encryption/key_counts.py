"""How many one-time keys the devices of bridges' users have left (MSC3202)."""

from collections.abc import Callable, Collection, Hashable, Sequence
from itertools import count, islice
from typing import Any, Final

from tremula.features.appservice_transactions.service import (
    Gathered,
    takes_transactions,
)
from tremula.features.appservices.service import Appservice, Appservices
from tremula.features.devices.service import Devices
from tremula.features.one_time_keys.service import TOPIC as KEYS_TOPIC
from tremula.features.one_time_keys.service import OneTimeKeys
from tremula.infra.journal import Journal
from tremula.infra.slots import Slots, slot_of
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.one_time_keys import SIGNED_CURVE25519
from tremula.rooms.events import StoredEvent

_USERS_MAX: Final = 100
_NOTED_MAX: Final = 10_000

_ByDevice = dict[UserId, dict[DeviceId, Any]]


class AppserviceKeyCounts:
    """Implements `TransactionPart`: tells of the devices whose keys have changed.

    Which those are is in memory only: a device asks for its counts when it begins, and
    each key that is claimed tells of it again.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        slots: Slots,
        appservices: Appservices,
        devices: Devices,
        keys: OneTimeKeys,
    ) -> None:
        self._slots = slots
        self._appservices = appservices
        self._devices = devices
        self._keys = keys
        self._note: list[Callable[[str], None]] = []
        # Of each application service its users, and which change was the last.
        self._changed: dict[str, dict[UserId, int]] = {}
        self._changes = count()
        slots.on_gone(self._slots_gone)
        appservices.on_changed(self._appservice_changed)
        journal.subscribe(KEYS_TOPIC, self._keys_changed)

    def on_news(self, note: Callable[[str], None]) -> None:
        """Call *note* with the ID of whoever is to be told something."""
        self._note.append(note)

    async def waiting(self) -> Collection[str]:
        """See `TransactionPart`: nothing is stored."""
        return ()

    async def gather(
        self, appservice: Appservice, _events: Sequence[StoredEvent]
    ) -> Gathered | None:
        """See `TransactionPart`."""
        changed = self._changed.get(appservice.id)
        if not changed:
            return None
        told = dict(islice(changed.items(), _USERS_MAX))
        counts: _ByDevice = {}
        unused: _ByDevice = {}
        for user_id in told:
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
            lambda _unit: self._told(appservice.id, told),
            is_more=len(told) < len(changed),
        )

    def _told(self, appservice_id: str, told: dict[UserId, int]) -> None:
        changed = self._changed.get(appservice_id, {})
        for user_id, change in told.items():
            if changed.get(user_id) == change:
                del changed[user_id]
        if not changed:
            self._changed.pop(appservice_id, None)

    def _keys_changed(self, _pos: int, user_id: Hashable, _payload: object) -> None:
        assert isinstance(user_id, str)
        for appservice in self._appservices.of_user(UserId(user_id)):
            if not (
                appservice.registration.receives_encryption
                and takes_transactions(appservice)
                and self._slots.holds(appservice.id)
            ):
                continue
            changed = self._changed.setdefault(appservice.id, {})
            if len(changed) < _NOTED_MAX:
                changed[UserId(user_id)] = next(self._changes)
            for note in self._note:
                note(appservice.id)

    def _appservice_changed(self, appservice_id: str) -> None:
        self._changed.pop(appservice_id, None)

    def _slots_gone(self, slots: Collection[int]) -> None:
        for appservice_id in [each for each in self._changed if slot_of(each) in slots]:
            del self._changed[appservice_id]
