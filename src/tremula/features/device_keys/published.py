"""The keys of our own users as others are given them; those used last are in memory."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.device_keys import storage
from tremula.features.device_keys.storage import Signature, StoredKey
from tremula.features.device_lists.service import TOPIC as DEVICE_LIST_TOPIC
from tremula.features.devices.service import Devices
from tremula.features.users.service import Users
from tremula.infra.cache import ByteLRU
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.protocol.device_keys import Usage, key_id_of
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.json import encode_to_keep

_AT_ONCE: Final = 500
_CACHE_BYTES: Final = 16 * 1024 * 1024
_ENTRY_BYTES: Final = 600


class UserKeys(Struct, frozen=True):
    """What a user has published, as JSON; signatures are the user's own.

    Devices are those with keys, with their names in ``unsigned``. The user-signing key
    is for its owner alone.
    """

    devices: Mapping[DeviceId, bytes]
    master: bytes | None = None
    self_signing: bytes | None = None
    user_signing: bytes | None = None

    @property
    def size_bytes(self) -> int:
        """What it weighs in memory, roughly."""
        keys = (self.master, self.self_signing, self.user_signing)
        return _ENTRY_BYTES + sum(
            len(each) for each in (*keys, *self.devices.values()) if each
        )


class PublishedKeys:
    """Reads the keys of our own users.

    Costs nothing for users who were asked for lately, and otherwise three queries for
    each 500 users, a fourth if some have no device.
    """

    def __init__(
        self, db: Reader, journal: Journal, devices: Devices, users: Users
    ) -> None:
        self._db = db
        self._devices = devices
        self._users = users
        self.cache: ByteLRU[UserId, UserKeys] = ByteLRU(_CACHE_BYTES)
        """Of our users' keys, signatures included."""
        self._changes = 0
        journal.subscribe(DEVICE_LIST_TOPIC, lambda _pos, key, _: self._forget(key))
        journal.on_forget(self._forget_all)

    async def of_user(self, user_id: UserId) -> UserKeys | None:
        """The keys of one of our users, None if there is no such user."""
        return (await self.of_users([user_id])).get(user_id)

    async def of_users(self, user_ids: Sequence[UserId]) -> dict[UserId, UserKeys]:
        """The keys of those of *user_ids* that there is an account of, or was."""
        found, missing = self.cache.pick(user_ids)
        for start in range(0, len(missing), _AT_ONCE):
            found |= await self._load(missing[start : start + _AT_ONCE])
        return found

    async def _load(self, user_ids: Sequence[UserId]) -> dict[UserId, UserKeys]:
        changes = self._changes
        stored = await storage.keys_of_users(self._db, user_ids)
        signatures = await storage.own_signatures(self._db, user_ids)
        names = await self._devices.display_names(user_ids)
        loaded = _by_user(stored, signatures, names)
        others = [user_id for user_id in user_ids if user_id not in loaded]
        if others:
            known = await self._users.known_among(others)
            loaded |= {user_id: UserKeys({}) for user_id in known}
        # Nothing may be kept that has changed while it was read.
        if changes == self._changes:
            for user_id, keys in loaded.items():
                self.cache.put(user_id, keys, keys.size_bytes)
        return loaded

    def _forget_all(self) -> None:
        self._changes += 1
        self.cache.clear()

    def _forget(self, key: object) -> None:
        assert isinstance(key, str)
        self._changes += 1
        self.cache.discard(UserId(key))


def _by_user(
    stored: Iterable[StoredKey],
    signatures: Iterable[Signature],
    names: Mapping[UserId, Mapping[DeviceId, str]],
) -> dict[UserId, UserKeys]:
    signed: dict[tuple[UserId, str], dict[str, str]] = {}
    for each in signatures:
        on_key = signed.setdefault((each.user_id, each.target_name), {})
        on_key[key_id_of(each.signing_name)] = each.signature
    rows = sorted(stored, key=lambda key: (key.user_id, key.name))
    return {
        user_id: _user_keys(user_id, keys, signed, names.get(user_id, {}))
        for user_id, keys in groupby(rows, key=lambda key: key.user_id)
    }


def _user_keys(
    user_id: UserId,
    keys: Iterable[StoredKey],
    signed: Mapping[tuple[UserId, str], Mapping[str, str]],
    names: Mapping[DeviceId, str],
) -> UserKeys:
    devices: dict[DeviceId, bytes] = {}
    by_usage: dict[Usage, bytes] = {}
    for key in keys:
        if key.key_json is None:
            continue
        added = signed.get((user_id, key.name), {})
        if key.usage is None:
            device_id = DeviceId(key.name)
            name = names.get(device_id)
            unsigned = {} if name is None else {"device_display_name": name}
            whole = signed_by(key.key_json, user_id, added, unsigned=unsigned)
            devices[device_id] = whole
        else:
            by_usage[key.usage] = signed_by(key.key_json, user_id, added)
    return UserKeys(
        devices,
        master=by_usage.get(Usage.MASTER),
        self_signing=by_usage.get(Usage.SELF_SIGNING),
        user_signing=by_usage.get(Usage.USER_SIGNING),
    )


def signed_by(
    key_json: bytes,
    user_id: UserId,
    added: Mapping[str, str],
    *,
    unsigned: Mapping[str, Any] | None = None,
) -> bytes:
    """A key with signatures of *user_id* added, `{key ID: signature}`."""
    if not added and not unsigned:
        return key_json
    key: dict[str, Any] = orjson.loads(key_json)
    if added:
        signatures = key.setdefault("signatures", {})
        signatures[user_id] = {**signatures.get(user_id, {}), **added}
    if unsigned:
        key["unsigned"] = unsigned
    return encode_to_keep(key)
