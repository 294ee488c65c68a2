"""One-time and fallback keys of our own users: each of the former is given out once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct

from tremula.features.one_time_keys import storage
from tremula.features.one_time_keys.storage import KeyClaim, KeyRow, StoredKey
from tremula.infra.db import Database
from tremula.infra.journal import Journal, JournalUnit
from tremula.protocol.errors import InvalidParam
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.one_time_keys import (
    KeyBatch,
    KeysJson,
    OneTimeKey,
    check_signed_by,
    parse_fallback_keys,
    parse_one_time_keys,
)

__all__ = [
    "TOPIC",
    "ClaimedKeys",
    "KeyClaim",
    "KeyUpload",
    "OneTimeKeys",
    "PlannedKeys",
]

TOPIC: Final = "one_time_keys"
"""Announced with the user ID as key when the keys of a device have changed."""

ClaimedKeys = dict[UserId, dict[DeviceId, dict[str, Any]]]
"""`{user_id: {device_id: {"<algorithm>:<key_id>": key}}}`; our users' keys are JSON as
it is stored (`orjson.Fragment`).
"""

# Clients keep 50 to 100 on the server.
_KEYS_KEPT_MAX: Final = 2_000
# More at once would hold up what others want to write.
_CLAIMS_A_UNIT: Final = 100


class KeyUpload(Struct, frozen=True):
    """What a device has uploaded.

    ``ed25519`` is the key that has to have signed it, if it is known.
    """

    user_id: UserId
    device_id: DeviceId
    one_time_keys: KeysJson
    fallback_keys: KeysJson
    ed25519: bytes | None


class PlannedKeys(Struct, frozen=True):
    """What is to be added as the device's *upload*, counted from 1.

    ``counts`` says how many there are then, by algorithm; *forgets_all*, that all
    others are to go before, *forgets_claimed*, that some which were given out are.
    """

    user_id: UserId
    device_id: DeviceId
    upload: int
    forgets_all: bool
    forgets_claimed: bool
    new: Sequence[KeyBatch]
    fallbacks: Sequence[OneTimeKey]
    counts: Mapping[str, int]


class OneTimeKeys(Struct, frozen=True):
    """Keeps keys until they are claimed. Implements `DeviceObserver`.

    Of several who claim at once, in however many processes, each gets another key: it
    is taken by one statement, and given out after the commit.
    """

    db: Database
    journal: Journal

    async def plan(self, upload: KeyUpload, *, forgets: bool = False) -> PlannedKeys:
        """What an upload adds, all or nothing; nothing of what it repeats.

        *forgets*: all other keys of the device are dropped in the same unit, before.

        Raises:
            InvalidParam: a key is malformed, there are too many, or another key has
                this name.
            NotJson, BadJson: a key is not strict, or not canonical JSON.
            InvalidSignature: the keys are not signed by the device.
        """
        user_id, device_id = upload.user_id, upload.device_id
        keys = parse_one_time_keys(user_id, device_id, upload.one_time_keys)
        fallbacks = parse_fallback_keys(user_id, device_id, upload.fallback_keys)
        if upload.ed25519 is not None:
            check_signed_by(upload.ed25519, user_id, device_id, keys, fallbacks)
        rows = (
            [] if forgets else await storage.rows_of_device(self.db, user_id, device_id)
        )
        new = _new_ones(await self._known(upload, rows, keys), keys)
        counts = _counts(rows)
        for batch in new:
            counts[batch.algorithm] += len(batch.key_ids)
        if new and sum(counts.values()) > _KEYS_KEPT_MAX:
            raise InvalidParam(f"at most {_KEYS_KEPT_MAX} one-time keys a device")
        last = max((row.upload for row in rows), default=0)
        return PlannedKeys(
            user_id,
            device_id,
            upload=last + 1,
            forgets_all=forgets,
            forgets_claimed=any(row.left == 0 and row.upload < last for row in rows),
            new=new,
            fallbacks=fallbacks,
            counts=counts,
        )

    def add(self, unit: JournalUnit, planned: PlannedKeys) -> None:
        """Add what was planned. It conflicts if another process was faster.

        To be called right before the commit: it takes a journal position.
        """
        if not (planned.new or planned.fallbacks or planned.forgets_all):
            return
        user_id, device_id, upload = planned.user_id, planned.device_id, planned.upload
        if planned.forgets_all:
            storage.delete_of_device(unit, user_id, device_id)
        elif planned.new and planned.forgets_claimed:
            storage.delete_claimed(unit, user_id, device_id, last_upload=upload - 1)
        if planned.new:
            storage.insert_keys(
                unit,
                user_id,
                device_id,
                planned.new,
                upload=upload,
                engine=self.db.engine,
            )
        for key in planned.fallbacks:
            storage.upsert_fallback_key(unit, user_id, device_id, key)
        unit.announce(TOPIC, user_id, None, pos=unit.pos())

    async def counts(self, user_id: UserId, device_id: DeviceId) -> dict[str, int]:
        """How many one-time keys of a device are left, by algorithm, if any."""
        return await storage.counts_by_algorithm(self.db, user_id, device_id)

    async def unused_fallback_types(
        self, user_id: UserId, device_id: DeviceId
    ) -> list[str]:
        """The algorithms whose fallback key has not been given out."""
        found = await storage.fallback_keys(self.db, user_id, device_id)
        return [each.key.algorithm for each in found if not each.is_used]

    async def claim(self, claims: Sequence[KeyClaim]) -> ClaimedKeys:
        """A key for each of *claims*, as far as there are any.

        When a device has no one-time keys left, it is its fallback key. A statement
        for each, and no read: with HTTP and the commit 0.32 million instructions.
        """
        claimed: ClaimedKeys = {}
        for start in range(0, len(claims), _CLAIMS_A_UNIT):
            part = claims[start : start + _CLAIMS_A_UNIT]
            for claim in await self._claim_one_time_keys(part, claimed):
                await self._claim_fallback_key(claim, claimed)
        return claimed

    # The lives of devices

    def devices_deleted(
        self, unit: JournalUnit, user_id: UserId, device_ids: Sequence[DeviceId]
    ) -> None:
        """Their keys go with them."""
        storage.delete_of_devices(unit, user_id, device_ids)
        unit.announce(TOPIC, user_id, None, pos=unit.pos())

    def all_devices_deleted(
        self,
        unit: JournalUnit,
        user_id: UserId,
        known: Sequence[DeviceId],  # noqa: ARG002 - the rows say which
        *,
        but_device_id: DeviceId | None,
    ) -> None:
        """Their keys go with them."""
        storage.delete_of_user(unit, user_id, but_device_id=but_device_id or "")
        unit.announce(TOPIC, user_id, None, pos=unit.pos())

    # Adding

    async def _known(
        self, upload: KeyUpload, rows: Sequence[KeyRow], keys: Sequence[KeyBatch]
    ) -> Mapping[tuple[str, str], StoredKey]:
        """What is stored under the names of *keys*. No query if nothing is."""
        if not rows:
            return {}
        newest = {
            (row.algorithm, key_id): row.upload
            for row in rows
            for key_id in row.key_ids
        }
        uploads = {
            newest[batch.algorithm, key_id]
            for batch in keys
            for key_id in batch.key_ids
            if (batch.algorithm, key_id) in newest
        }
        if not uploads:
            return {}
        return await storage.keys_of_uploads(
            self.db, upload.user_id, upload.device_id, uploads
        )

    # Giving out

    async def _claim_one_time_keys(
        self, claims: Sequence[KeyClaim], claimed: ClaimedKeys
    ) -> list[KeyClaim]:
        """Add what there is to *claimed*; the claims for which there is nothing."""
        unit = self.journal.unit()
        taken = [
            (claim, storage.update_oldest_claimed(unit, claim, self.db.engine))
            for claim in claims
        ]
        pos = unit.pos()
        for user_id in {claim.user_id for claim in claims}:
            unit.announce(TOPIC, user_id, None, pos=pos)
        await self.journal.commit(unit)
        rest = []
        for claim, returned in taken:
            if returned.rows:
                [row] = returned.rows
                _note(claimed, claim, *storage.claimed_key(row))
            else:
                rest.append(claim)
        return rest

    async def _claim_fallback_key(self, claim: KeyClaim, claimed: ClaimedKeys) -> None:
        found = await storage.fallback_keys(self.db, claim.user_id, claim.device_id)
        for each in found:
            if each.key.algorithm != claim.algorithm:
                continue
            if not each.is_used:
                unit = self.journal.unit()
                storage.update_fallback_used(unit, claim, each.key.key_id)
                unit.announce(TOPIC, claim.user_id, None, pos=unit.pos())
                await self.journal.commit(unit)
            _note(claimed, claim, each.key.key_id, each.key.content)


def _counts(rows: Sequence[KeyRow]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        if row.left:
            counts[row.algorithm] += row.left
    return counts


def _new_ones(
    known: Mapping[tuple[str, str], StoredKey], keys: Sequence[KeyBatch]
) -> Sequence[KeyBatch]:
    """Those of *keys* that were never uploaded before.

    A key that was given out already is not taken in again. Another one may have its
    name: the device has forgotten about the first.
    """
    if not known:
        return keys
    new: list[KeyBatch] = []
    for batch in keys:
        key_ids: list[str] = []
        contents: list[bytes] = []
        for key_id, content in zip(batch.key_ids, batch.contents, strict=True):
            stored = known.get((batch.algorithm, key_id))
            if stored is None or (stored.is_claimed and stored.content != content):
                key_ids.append(key_id)
                contents.append(content)
            elif stored.content != content:
                raise InvalidParam(
                    f"there is another key {batch.algorithm}:{key_id} already"
                )
        if key_ids:
            new.append(KeyBatch(batch.algorithm, key_ids, contents))
    return new


def _note(claimed: ClaimedKeys, claim: KeyClaim, key_id: str, content: bytes) -> None:
    keys = claimed.setdefault(claim.user_id, {}).setdefault(claim.device_id, {})
    keys[f"{claim.algorithm}:{key_id}"] = orjson.Fragment(content)
