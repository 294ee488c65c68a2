"""A user's dehydrated device: it takes messages while nobody is logged in."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.dehydrated_devices import storage
from tremula.features.dehydrated_devices.storage import DehydratedDevice
from tremula.features.device_keys.service import DeviceKeyUploads
from tremula.features.devices.service import Devices
from tremula.features.to_device.service import ToDevice
from tremula.infra.db import Conflict, Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.errors import (
    BadJson,
    Forbidden,
    InvalidParam,
    NotFound,
    TooLarge,
)
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.one_time_keys import KeysJson

__all__ = ["DehydratedDevice", "DehydratedDevices", "Events", "NewDevice"]

DEVICE_DATA_BYTES_MAX: Final = 64 * 1024
"""A pickle with a hundred one-time keys has 20 KB."""

EVENTS_MAX: Final = 100

_ATTEMPTS_MAX: Final = 3
_TOKEN_DIGITS_MAX: Final = 18


class NewDevice(Struct, frozen=True):
    """What is uploaded; the keys are as they came."""

    device_id: DeviceId
    display_name: str | None
    device_data: Mapping[str, Any]
    device_keys: object
    one_time_keys: KeysJson
    fallback_keys: KeysJson


class Events(Struct, frozen=True):
    """Messages to a device, as JSON, and the token for those that follow."""

    events: list[str]
    next_batch: str


class DehydratedDevices(Struct, frozen=True):
    """Keeps them. A dehydrated device is a device like others, without a token: so it
    has keys, an inbox and a place in the device list. Implements `DeviceObserver`.
    """

    db: Reader
    journal: Journal
    devices: Devices
    keys: DeviceKeyUploads
    inboxes: ToDevice

    async def put(self, user_id: UserId, new: NewDevice) -> None:
        """Make *new* the user's dehydrated device, in the place of any other.

        Safe to repeat.

        Raises:
            InvalidParam: somebody is logged in with a device of this ID, or a key is
                malformed.
            BadJson, TooLarge: the data, or a key, is malformed.
            MissingParam, InvalidSignature: the device's keys are.
            Forbidden: others are uploaded all the time.
        """
        device = DehydratedDevice(new.device_id, _encode_data(new.device_data))
        # Nothing is replaced by what would be refused.
        await self.keys.check(
            user_id,
            new.device_id,
            device_keys=new.device_keys,
            one_time_keys=new.one_time_keys,
            fallback_keys=new.fallback_keys,
        )
        await self._set(user_id, device, new.display_name)
        await self.keys.upload(
            user_id,
            new.device_id,
            device_keys=new.device_keys,
            one_time_keys=new.one_time_keys,
            fallback_keys=new.fallback_keys,
        )

    async def get(self, user_id: UserId) -> DehydratedDevice:
        """The user's dehydrated device.

        Raises:
            NotFound: there is none.
        """
        device = await storage.find_device(self.db, user_id)
        if device is None:
            raise _no_device()
        return device

    async def delete(self, user_id: UserId) -> DeviceId:
        """Remove the device with its keys and messages; its ID.

        Raises:
            NotFound: there is none.
        """
        device = await self.get(user_id)
        await self.devices.delete(user_id, [device.device_id])
        return device.device_id

    async def events(
        self, user_id: UserId, device_id: DeviceId, next_batch: str | None
    ) -> Events:
        """The oldest messages to the device past those that *next_batch* stands for.

        They stay: "another device will be able to restart the process".

        Raises:
            Forbidden: this is not the user's dehydrated device.
            InvalidParam: *next_batch* is no token.
        """
        device = await storage.find_device(self.db, user_id)
        if device is None or device.device_id != device_id:
            raise Forbidden("this is not your dehydrated device")
        after = _parse_token(next_batch)
        found = await self.inboxes.messages_after(
            user_id, device_id, after=after, limit=EVENTS_MAX
        )
        last = found[-1][0] if found else after
        return Events([event for _, event in found], str(last))

    # The lives of devices

    def device_added(
        self, unit: JournalUnit, user_id: UserId, device_id: DeviceId
    ) -> None:
        """Whoever logs in with it wakes it up: it is one like others then."""
        storage.delete_devices(unit, user_id, [device_id])

    def devices_deleted(
        self, unit: JournalUnit, user_id: UserId, device_ids: Sequence[DeviceId]
    ) -> None:
        """What is deleted does not sleep."""
        storage.delete_devices(unit, user_id, device_ids)

    def all_devices_deleted(
        self,
        unit: JournalUnit,
        user_id: UserId,
        known: Sequence[DeviceId],  # noqa: ARG002 - the row says which
        *,
        but_device_id: DeviceId | None,
    ) -> None:
        """What is deleted does not sleep."""
        storage.delete_of_user(unit, user_id, but_device_id=but_device_id or "")

    # Uploading

    async def _set(
        self, user_id: UserId, device: DehydratedDevice, display_name: str | None
    ) -> None:
        for _ in range(_ATTEMPTS_MAX):
            current = await storage.find_device(self.db, user_id)
            unit = self.journal.unit()
            if current is not None and current.device_id == device.device_id:
                storage.update_device_data(unit, user_id, device)
            else:
                await self._check_new(user_id, device.device_id)
                if current is not None:
                    self.devices.remove(unit, user_id, [current.device_id])
                self.devices.add(unit, user_id, device.device_id, display_name)
                storage.insert_device(unit, user_id, device)
            try:
                await self.journal.commit(unit)
            except Conflict:
                # Another one was uploaded since.
                continue
            return
        raise Forbidden("other dehydrated devices are being uploaded")

    async def _check_new(self, user_id: UserId, device_id: DeviceId) -> None:
        try:
            await self.devices.get(user_id, device_id)
        except NotFound:
            return
        raise InvalidParam("there is a device with this ID already")


def _encode_data(raw: Mapping[str, Any]) -> bytes:
    if not isinstance(raw.get("algorithm"), str):
        raise BadJson("device_data needs an algorithm")
    encoded = orjson.dumps(raw)
    if len(encoded) > DEVICE_DATA_BYTES_MAX:
        raise TooLarge(f"device_data has at most {DEVICE_DATA_BYTES_MAX} bytes")
    return encoded


def _parse_token(raw: str | None) -> int:
    if raw is None:
        return 0
    if not raw.isascii() or not raw.isdecimal() or len(raw) > _TOKEN_DIGITS_MAX:
        raise InvalidParam("next_batch is no token of this server")
    return int(raw)


def _no_device() -> NotFound:
    return NotFound("there is no dehydrated device")
