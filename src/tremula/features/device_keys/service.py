"""Keys of the devices of our own users, and what this feature offers to others."""

from collections.abc import Mapping, Sequence
from typing import Protocol

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
from tremula.features.one_time_keys.service import KeyUpload, PlannedKeys
from tremula.infra.db import Reader, Returned
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.device_keys import (
    DeviceKeys,
    Json,
    Usage,
    decode_key,
    key_id_of,
    parse_device_keys,
    without_signatures,
)
from tremula.protocol.errors import InvalidParam, MatrixError, UnknownToken
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.one_time_keys import NO_KEYS, KeysJson

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


class OneTimeKeys(Protocol):
    """Keeps one-time and fallback keys of devices."""

    async def plan(self, upload: KeyUpload, *, forgets: bool = False) -> PlannedKeys:
        """What an upload adds; *forgets*: all others are dropped before.

        Raises:
            MatrixError: a key is malformed, or contradicts another of its ID.
        """
        ...

    def add(self, unit: JournalUnit, planned: PlannedKeys) -> None:
        """Add what was planned, and drop what is to go, right before the commit."""
        ...

    async def counts(self, user_id: UserId, device_id: DeviceId) -> Mapping[str, int]:
        """How many one-time keys of each algorithm are left."""
        ...


class _Published(Struct, frozen=True):
    """Keys of a device that are new, and what it had published *before*."""

    keys: DeviceKeys
    key_json: bytes
    cross_signed: list[Signature]
    before: Json | None

    @property
    def says_other(self) -> bool:
        """Whether anything but signatures is another."""
        return self.before is None or not _say_the_same(self.before, self.keys.content)

    @property
    def is_other(self) -> bool:
        """Whether the device has another Ed25519 key."""
        if self.before is None:
            return True
        key_id = key_id_of(self.keys.device_id)
        before: str = self.before["keys"][key_id]
        now: str = self.keys.content["keys"][key_id]
        return now != before


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
        one_time_keys: KeysJson = NO_KEYS,
        fallback_keys: KeysJson = NO_KEYS,
    ) -> Mapping[str, int]:
        """Publish keys of a device; the numbers of one-time keys left, by algorithm.

        *device_keys* is as it came, or None. They count even if one-time keys that
        came with them are refused. With 50 of those it is one unit, and one read beside
        that of the user's rooms, if they are not in memory: 3 million instructions over
        HTTP, two fifths of them for two signatures.

        Raises:
            TooLarge, NotJson, BadJson, InvalidParam, MissingParam: keys are malformed.
            InvalidSignature: they are not signed by the device, or a signature of the
                self-signing key is wrong.
            UnknownToken: the device has just been deleted.
        """
        keys = (
            None
            if device_keys is None
            else parse_device_keys(device_keys, user_id, device_id)
        )
        if keys is None and one_time_keys == fallback_keys == NO_KEYS:
            return await self.one_time.counts(user_id, device_id)

        async def attempt() -> Mapping[str, int]:
            # One-time keys alone change no list.
            seen_pos = 0 if keys is None else await self.lists.seen_pos(user_id)
            stored = await self._stored(user_id, device_id)
            published = None if keys is None else await self._published(keys, stored)
            upload = KeyUpload(
                user_id,
                device_id,
                one_time_keys,
                fallback_keys,
                _ed25519(keys, stored),
            )
            # Those that are left are signed by the key that was: of another device, if
            # they came while one of this ID was being deleted.
            forgets = published is not None and published.is_other
            try:
                planned = await self.one_time.plan(upload, forgets=forgets)
            except MatrixError:
                nothing = KeyUpload(user_id, device_id, NO_KEYS, NO_KEYS, None)
                planned = await self.one_time.plan(nothing, forgets=forgets)
                await self._store(published, planned, seen_pos=seen_pos)
                raise
            await self._store(published, planned, seen_pos=seen_pos)
            return planned.counts

        async with self.changing.of(user_id):
            return await reread_on_conflict(attempt)

    async def check(
        self,
        user_id: UserId,
        device_id: DeviceId,
        *,
        device_keys: object,
        one_time_keys: KeysJson,
        fallback_keys: KeysJson,
    ) -> None:
        """See that `upload` would take these keys, if the device is there by then.

        Raises:
            TooLarge, NotJson, BadJson, InvalidParam, MissingParam, InvalidSignature:
                see `upload`.
        """
        keys = parse_device_keys(device_keys, user_id, device_id)
        stored = await storage.find_key(self.db, user_id, device_id)
        if stored is None:
            stored = StoredKey(user_id, device_id, None, None)
        _check_is_device(stored)
        published = await self._published(keys, stored)
        upload = KeyUpload(
            user_id, device_id, one_time_keys, fallback_keys, keys.ed25519
        )
        forgets = published is not None and published.is_other
        await self.one_time.plan(upload, forgets=forgets)

    async def _published(
        self, keys: DeviceKeys, stored: StoredKey
    ) -> _Published | None:
        """What *keys* change; None if nothing."""
        key_json = keys.self_signed_json
        cross_signed = await self._cross_signed(keys)
        if stored.key_json == key_json and not cross_signed:
            return None
        before = None if stored.key_json is None else orjson.loads(stored.key_json)
        return _Published(keys, key_json, cross_signed, before)

    async def _store(
        self,
        published: _Published | None,
        planned: PlannedKeys,
        *,
        seen_pos: int,
    ) -> None:
        """Store all in one unit, if there is anything.

        Raises:
            UnknownToken: the device has just been deleted.
        """
        unit = self.journal.unit()
        updated = None
        if published is not None:
            updated = self._publish(unit, published, seen_pos)
        self.one_time.add(unit, planned)
        if unit.statements:
            await self.journal.commit(unit)
        if updated is not None and not updated.rows:
            raise _gone()

    def _publish(
        self, unit: JournalUnit, published: _Published, seen_pos: int
    ) -> Returned:
        keys = published.keys
        user_id, device_id = keys.user_id, keys.device_id
        updated = storage.update_device(unit, user_id, device_id, published.key_json)
        if published.says_other:
            storage.delete_signatures_of(unit, user_id, device_id)
        if published.cross_signed:
            storage.upsert_signatures(unit, published.cross_signed, pos=unit.pos())
        change = DeviceListChange((device_id,))
        self.lists.changed(unit, user_id, change, seen_pos=seen_pos)
        return updated

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
        _check_is_device(stored)
        return stored

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


def _ed25519(keys: DeviceKeys | None, stored: StoredKey) -> bytes | None:
    """The key that the device signs with, if it has published any."""
    if keys is not None:
        return keys.ed25519
    if stored.key_json is None:
        return None
    return decode_key(orjson.loads(stored.key_json)["keys"][key_id_of(stored.name)])


def _say_the_same(one: Json, other: Json) -> bool:
    return without_signatures(one) == without_signatures(other)


def _check_is_device(stored: StoredKey) -> None:
    if stored.usage is not None:
        # "servers MUST not allow devices to have the same IDs as cross-signing keys"
        raise InvalidParam("the device has the ID of a cross-signing key")


def _gone() -> UnknownToken:
    return UnknownToken("the device has been deleted")
