"""Keys of the devices of our own users, and what this feature offers to others."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import orjson
from msgspec import Struct

from tremula.features.device_keys import storage
from tremula.features.device_keys.asking import parse_told_keys
from tremula.features.device_keys.own_keys import own_keys
from tremula.features.device_keys.published import PublishedKeys, UserKeys
from tremula.features.device_keys.queries import RemoteDevices, RemoteKeys
from tremula.features.device_keys.signatures import Signatures, verified_signatures
from tremula.features.device_keys.storage import Signature, StoredKey
from tremula.features.device_lists.service import DeviceListChange, DeviceLists
from tremula.infra.db import Reader
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.device_keys import (
    DeviceKeys,
    Json,
    Usage,
    key_id_of,
    parse_device_keys,
    without_signatures,
)
from tremula.protocol.errors import InvalidParam, UnknownToken
from tremula.protocol.identifiers import DeviceId, UserId

__all__ = [
    "DeviceKeyUploads",
    "OneTimeKeys",
    "PublishedKeys",
    "RemoteDevices",
    "RemoteKeys",
    "Signatures",
    "UserKeys",
    "parse_told_keys",
]

_NO_KEYS: Final[Mapping[str, object]] = {}


class OneTimeKeys(Protocol):
    """Keeps one-time and fallback keys of devices."""

    async def add(
        self,
        user_id: UserId,
        device_id: DeviceId,
        *,
        one_time_keys: Mapping[str, object],
        fallback_keys: Mapping[str, object],
    ) -> None:
        """Take in keys as uploaded, `{<algorithm>:<key ID>: key}`.

        Raises:
            MatrixError: one is malformed, or contradicts another of its ID.
        """
        ...

    async def counts(self, user_id: UserId, device_id: DeviceId) -> Mapping[str, int]:
        """How many one-time keys of each algorithm are left."""
        ...

    def devices_deleted(
        self, unit: JournalUnit, user_id: UserId, device_ids: Sequence[DeviceId]
    ) -> None:
        """Drop all keys of devices: they are of no use any more."""
        ...


class DeviceKeyUploads(Struct, frozen=True):
    """Takes in the keys of devices, and drops them with the device.

    Implements ``DeviceObserver``.
    """

    db: Reader
    journal: Journal
    lists: DeviceLists
    one_time: OneTimeKeys
    changing: KeyedLocks[UserId]

    async def upload(
        self,
        user_id: UserId,
        device_id: DeviceId,
        *,
        device_keys: object,
        one_time_keys: Mapping[str, object] = _NO_KEYS,
        fallback_keys: Mapping[str, object] = _NO_KEYS,
    ) -> Mapping[str, int]:
        """Publish keys of a device; the numbers of one-time keys left, by algorithm.

        *device_keys* is as it came, or None. They count even if one-time keys that
        came with them are refused.

        Raises:
            TooLarge, BadJson, InvalidParam, MissingParam: keys are malformed.
            InvalidSignature: they are not signed by the device, or a signature of the
                self-signing key is wrong.
            UnknownToken: the device has just been deleted.
        """
        if device_keys is not None:
            await self._publish(parse_device_keys(device_keys, user_id, device_id))
        if one_time_keys or fallback_keys:
            await self.one_time.add(
                user_id,
                device_id,
                one_time_keys=one_time_keys,
                fallback_keys=fallback_keys,
            )
        return await self.one_time.counts(user_id, device_id)

    async def _publish(self, keys: DeviceKeys) -> None:
        user_id, device_id = keys.user_id, keys.device_id
        key_json = encode_canonical(keys.self_signed)

        async def attempt() -> None:
            seen_pos = await self.lists.seen_pos(user_id)
            stored = await self._stored(user_id, device_id)
            cross_signed = await self._cross_signed(keys)
            if stored.key_json == key_json and not cross_signed:
                return
            unit = self.journal.unit()
            updated = storage.update_device(unit, user_id, device_id, key_json)
            self._drop_outdated(unit, keys, stored.key_json)
            storage.upsert_signatures(unit, cross_signed, pos=unit.pos())
            change = DeviceListChange((device_id,))
            self.lists.changed(unit, user_id, change, seen_pos=seen_pos)
            await self.journal.commit(unit)
            if not updated.rows:
                raise _gone()

        async with self.changing.of(user_id):
            await reread_on_conflict(attempt)

    async def _cross_signed(self, keys: DeviceKeys) -> list[Signature]:
        """The signature that came with *keys* by the self-signing key, if it is new.

        Those by other keys, which cannot be verified, are left out.
        """
        user_id = keys.user_id
        made = keys.content["signatures"][user_id]
        if len(made) == 1:
            return []
        self_signing = (await own_keys(self.db, user_id)).cross_signing.get(
            Usage.SELF_SIGNING
        )
        if self_signing is None or key_id_of(self_signing.public_key) not in made:
            return []
        found = verified_signatures(
            keys.content, self_signing.verify_keys, user_id, user_id, keys.device_id
        )
        known = await storage.own_signatures(self.db, [user_id])
        return [each for each in found if each not in known]

    async def _stored(self, user_id: UserId, device_id: DeviceId) -> StoredKey:
        stored = await storage.find_key(self.db, user_id, device_id)
        if stored is None:
            raise _gone()
        if stored.usage is not None:
            # "servers MUST not allow devices to have the same IDs as cross-signing
            # keys"
            raise InvalidParam("the device has the ID of a cross-signing key")
        return stored

    def _drop_outdated(
        self, unit: JournalUnit, keys: DeviceKeys, stored_json: bytes | None
    ) -> None:
        user_id, device_id = keys.user_id, keys.device_id
        before: Json | None = None if stored_json is None else orjson.loads(stored_json)
        if before is None or not _say_the_same(before, keys.content):
            storage.delete_signatures_of(unit, user_id, device_id)
        key_id = key_id_of(device_id)
        if before is None or before["keys"][key_id] != keys.content["keys"][key_id]:
            # Those that are left are signed by the key that was: of another device, if
            # they came while one of this ID was being deleted.
            self.one_time.devices_deleted(unit, user_id, [device_id])

    def device_added(
        self, unit: JournalUnit, user_id: UserId, device_id: DeviceId
    ) -> None:
        """Make room for the keys of a device that is logged in."""
        storage.insert_device(unit, user_id, device_id)

    def device_renamed(
        self, unit: JournalUnit, user_id: UserId, device_id: DeviceId
    ) -> None:
        """Tell others: names are published with keys."""
        self.lists.changed(unit, user_id, DeviceListChange((device_id,)))

    def devices_deleted(
        self, unit: JournalUnit, user_id: UserId, device_ids: Sequence[DeviceId]
    ) -> None:
        """Drop the keys of devices (at most 500)."""
        storage.delete_keys(unit, user_id, device_ids)
        storage.delete_orphaned_signatures(unit, user_id)
        self.lists.changed(unit, user_id, DeviceListChange(tuple(device_ids)))

    def all_devices_deleted(
        self,
        unit: JournalUnit,
        user_id: UserId,
        known: Sequence[DeviceId],
        *,
        but_device_id: DeviceId | None,
    ) -> None:
        """Drop the keys of all devices but one."""
        storage.delete_devices(unit, user_id, but_device_id=but_device_id)
        storage.delete_orphaned_signatures(unit, user_id)
        self.lists.changed(unit, user_id, DeviceListChange(tuple(known)))


def _say_the_same(one: Json, other: Json) -> bool:
    return without_signatures(one) == without_signatures(other)


def _gone() -> UnknownToken:
    return UnknownToken("the device has been deleted")
