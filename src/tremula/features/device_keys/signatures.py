"""Signatures of our users: of their own devices and keys, and of other users' master
keys (CS ``uploadCrossSigningSignatures``).
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.device_keys import storage
from tremula.features.device_keys.own_keys import OwnKeys, own_keys
from tremula.features.device_keys.published import PublishedKeys
from tremula.features.device_keys.queries import RemoteDevices
from tremula.features.device_keys.storage import Signature
from tremula.features.device_lists.service import DeviceListChange, DeviceLists
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.device_keys import (
    CrossSigningKey,
    Json,
    Usage,
    check_signed,
    parse_cross_signing_key,
    without_signatures,
)
from tremula.protocol.errors import InvalidParam, MatrixError, NotFound
from tremula.protocol.identifiers import DeviceId, ServerName, UserId, server_of

TOPIC: Final = "device_signatures"
"""Announced with the signer as key and the other users signed as payload."""

ENTRIES_MAX: Final = 500

_REMOTE_TIMEOUT_S: Final = 10.0

Uploaded = Mapping[UserId, Mapping[str, object]]
"""Signed keys as they came, by their users and their IDs or public halves."""

Failures = dict[UserId, dict[str, Mapping[str, object]]]
"""The standard error of each key that was refused."""


class _Target(Struct, frozen=True):
    """A key as it is known, and the keys that may sign it."""

    content: Json
    verify_keys: Mapping[str, bytes]


class Signatures(Struct, frozen=True):
    """Takes in signatures, every one verified."""

    db: Reader
    journal: Journal
    lists: DeviceLists
    published: PublishedKeys
    remote: RemoteDevices
    changing: KeyedLocks[UserId]
    own: ServerName
    topic: str = TOPIC

    async def upload(self, user_id: UserId, uploaded: Uploaded) -> Failures:
        """Add the signatures of *user_id*; what was refused, and why.

        Raises:
            InvalidParam: there are more than 500 keys.
        """
        if sum(map(len, uploaded.values())) > ENTRIES_MAX:
            raise InvalidParam(f"at most {ENTRIES_MAX} keys at once")
        masters = await self._masters(uploaded.keys() - {user_id})

        async def attempt() -> Failures:
            seen_pos = await self.lists.seen_pos(user_id)
            stored = await own_keys(self.db, user_id)
            good: list[Signature] = []
            failures: Failures = {}
            for owner, keys in uploaded.items():
                targets = (
                    _own_targets(stored)
                    if owner == user_id
                    else _master_target(stored, masters.get(owner))
                )
                for name, raw in keys.items():
                    try:
                        good += _verified(user_id, owner, name, raw, targets)
                    except MatrixError as error:
                        failures.setdefault(owner, {})[name] = error.body()
            await self._store(user_id, stored, good, seen_pos=seen_pos)
            return failures

        async with self.changing.of(user_id):
            return await reread_on_conflict(attempt)

    async def signed_after(self, user_id: UserId, pos: int) -> Collection[UserId]:
        """The other users whose keys *user_id* has signed after *pos*.

        To *user_id* alone their keys have changed. Without a query if there are none.
        """
        if self.journal.changed_pos(TOPIC, user_id) <= pos:
            return ()
        return await storage.signed_after(self.db, user_id, pos)

    async def _masters(
        self, user_ids: Collection[UserId]
    ) -> Mapping[UserId, CrossSigningKey]:
        ours = [user_id for user_id in user_ids if server_of(user_id) == self.own]
        users = await self.published.of_users(ours)
        others = [user_id for user_id in user_ids if server_of(user_id) != self.own]
        if others:
            remote = await self.remote.query(others, timeout_s=_REMOTE_TIMEOUT_S)
            users |= remote.users
        return {
            user_id: parse_cross_signing_key(
                orjson.loads(keys.master), user_id, Usage.MASTER
            )
            for user_id, keys in users.items()
            if keys.master is not None
        }

    async def _store(
        self,
        user_id: UserId,
        stored: OwnKeys,
        signatures: Iterable[Signature],
        *,
        seen_pos: int,
    ) -> None:
        signatures = list(signatures)
        if not signatures:
            return
        unit = self.journal.unit()
        pos = unit.pos()
        storage.upsert_signatures(unit, signatures, pos=pos)
        own = {
            each.target_name for each in signatures if each.target_user_id == user_id
        }
        others = {each.target_user_id for each in signatures} - {user_id}
        if others:
            unit.announce(TOPIC, user_id, frozenset(others), pos=pos)
            unit.wake([user_id])
        if own:
            devices = tuple(DeviceId(name) for name in own if name in stored.devices)
            change = DeviceListChange(devices, signing_keys=len(own) > len(devices))
            self.lists.changed(unit, user_id, change, seen_pos=seen_pos)
        else:
            self.lists.check_unchanged(unit, user_id, seen_pos=seen_pos)
        await self.journal.commit(unit)


def _own_targets(stored: OwnKeys) -> Mapping[str, _Target]:
    """A user's own keys: the self-signing key signs devices, these the master key."""
    targets: dict[str, _Target] = {}
    self_signing = stored.cross_signing.get(Usage.SELF_SIGNING)
    if self_signing is not None:
        for device_id, keys in stored.devices.items():
            if keys is not None:
                targets[device_id] = _Target(keys, self_signing.verify_keys)
    master = stored.cross_signing.get(Usage.MASTER)
    if master is not None:
        targets[master.public_key] = _Target(master.content, stored.device_verify_keys)
    return targets


def _master_target(
    stored: OwnKeys, master: CrossSigningKey | None
) -> Mapping[str, _Target]:
    """Of other users only the master key is signed, with the user-signing key."""
    user_signing = stored.cross_signing.get(Usage.USER_SIGNING)
    if user_signing is None or master is None:
        return {}
    return {master.public_key: _Target(master.content, user_signing.verify_keys)}


def _verified(
    signer: UserId,
    owner: UserId,
    name: str,
    raw: object,
    targets: Mapping[str, _Target],
) -> list[Signature]:
    target = targets.get(name)
    if target is None:
        raise NotFound("there is no such key, or none to sign it with")
    if not isinstance(raw, dict):
        raise InvalidParam("a signed key must be an object")
    # "The signed JSON object must match the key previously uploaded or retrieved"
    if without_signatures(raw) != without_signatures(target.content):
        raise InvalidParam("this is not the key that is known")
    return verified_signatures(raw, target.verify_keys, signer, owner, name)


def verified_signatures(
    signed: Json,
    verify_keys: Mapping[str, bytes],
    signer: UserId,
    owner: UserId,
    name: str,
) -> list[Signature]:
    """What *signer* has signed of a key of *owner* with *verify_keys*.

    Raises:
        InvalidSignature: nothing, or not rightly.
        BadJson: *signed* is not canonical JSON.
    """
    check_signed(signed, signer, verify_keys)
    made: Mapping[str, Any] = signed["signatures"][signer]
    return [
        Signature(signer, owner, name, key_id.partition(":")[2], made[key_id])
        for key_id in made
        if key_id in verify_keys
    ]
