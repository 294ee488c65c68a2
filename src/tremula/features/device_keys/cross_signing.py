"""Cross-signing keys of our own users (CS ``uploadCrossSigningKeys``)."""

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from tremula.features.device_keys import storage
from tremula.features.device_keys.own_keys import OwnKeys, own_keys
from tremula.features.device_keys.signatures import verified_signatures
from tremula.features.device_keys.storage import Signature
from tremula.features.device_lists.service import DeviceListChange, DeviceLists
from tremula.features.uia.service import Authenticated, Uia, digest_of
from tremula.infra.db import Reader
from tremula.infra.http import Requester
from tremula.infra.journal import Journal, JournalUnit
from tremula.infra.locks import KeyedLocks
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.device_keys import (
    CrossSigningKey,
    Usage,
    check_signed,
    parse_cross_signing_key,
)
from tremula.protocol.errors import Forbidden, InvalidParam, MissingParam
from tremula.protocol.identifiers import UserId

OPERATION = "uploadCrossSigningKeys"

NewKeys = Mapping[Usage, CrossSigningKey]


class CrossSigning(Struct, frozen=True):
    """Takes in the cross-signing keys of a user, and replaces them."""

    db: Reader
    journal: Journal
    lists: DeviceLists
    uia: Uia
    changing: KeyedLocks[UserId]

    async def upload(
        self, requester: Requester, keys: Mapping[Usage, object], *, auth: object
    ) -> None:
        """Publish *keys*, as they came; those that are there already are no change.

        Raises:
            TooLarge, BadJson, InvalidParam: a key is malformed.
            MissingParam: there is no master key.
            InvalidSignature: a key is not signed by the master key.
            Forbidden: a key has the ID of a device.
            UiaRequired: the user has to authenticate to replace keys.
        """
        user_id = requester.user_id
        given = {
            usage: parse_cross_signing_key(raw, user_id, usage)
            for usage, raw in keys.items()
        }

        proof: Authenticated | None = None

        async def attempt() -> None:
            nonlocal proof
            seen_pos = await self.lists.seen_pos(user_id)
            stored = await own_keys(self.db, user_id)
            new = _new(given, stored)
            if not new and (given or stored.cross_signing):
                return
            checked = _checked(new, stored)
            signatures = _by_devices(new, stored)
            is_free = Usage.MASTER not in stored.cross_signing
            if proof is None and not (is_free or requester.controls_user):
                digest = digest_of({usage.value: key for usage, key in keys.items()})
                proof = await self.uia.require(user_id, OPERATION, auth, digest)
            unit = await self.uia.unit_by(proof)
            self._replace(unit, user_id, checked, stored)
            storage.upsert_signatures(unit, signatures, pos=unit.pos())
            change = DeviceListChange(signing_keys=True)
            self.lists.changed(unit, user_id, change, seen_pos=seen_pos)
            await self.journal.commit(unit)

        async with self.changing.of(user_id):
            await reread_on_conflict(attempt)

    def _replace(
        self, unit: JournalUnit, user_id: UserId, new: NewKeys, stored: OwnKeys
    ) -> None:
        outdated = [key.public_key for key in _outdated(new, stored)]
        if outdated:
            storage.delete_keys(unit, user_id, outdated)
        for usage, key in new.items():
            key_json = encode_canonical(key.signed)
            storage.insert_cross_signing_key(
                unit, user_id, key.public_key, usage, key_json
            )
        if outdated:
            storage.delete_orphaned_signatures(unit, user_id)


def _new(given: NewKeys, stored: OwnKeys) -> NewKeys:
    """Those of *given* keys that change anything: all, if the master key does."""
    changed = {
        usage: key
        for usage, key in given.items()
        if not _is_same(key, stored.cross_signing.get(usage))
    }
    return given if Usage.MASTER in changed else changed


def _is_same(key: CrossSigningKey, stored: CrossSigningKey | None) -> bool:
    return stored is not None and key.content == stored.content


def _checked(new: NewKeys, stored: OwnKeys) -> NewKeys:
    """*new* with the signature by the master key, verified.

    Raises:
        MissingParam, InvalidSignature, InvalidParam, Forbidden: see `upload`.
    """
    master = new.get(Usage.MASTER) or stored.cross_signing.get(Usage.MASTER)
    if master is None:
        raise MissingParam("there is no master signing key")
    _check_names(new, stored)
    return {usage: _signed_by_master(key, master) for usage, key in new.items()}


def _check_names(new: NewKeys, stored: OwnKeys) -> None:
    for key in new.values():
        if key.public_key in stored.devices:
            raise Forbidden("a device has the ID of this key")
    replaced = {key.public_key for key in _outdated(new, stored)}
    kept = [key.public_key for key in stored.cross_signing.values()]
    names = [key.public_key for key in new.values()]
    names += [name for name in kept if name not in replaced]
    if len(set(names)) < len(names):
        raise InvalidParam("two keys must not be the same")


def _outdated(new: NewKeys, stored: OwnKeys) -> Iterator[CrossSigningKey]:
    """The keys that *new* ones replace, or that a new master key has not signed."""
    for usage, key in stored.cross_signing.items():
        if usage in new or Usage.MASTER in new:
            yield key


def _signed_by_master(key: CrossSigningKey, master: CrossSigningKey) -> CrossSigningKey:
    signed = _with_signatures_by(key, master.verify_keys)
    # "Optional for the master signing key."
    if signed.signatures or key.usage is not Usage.MASTER:
        check_signed(signed.signed, key.user_id, master.verify_keys)
    return signed


def _by_devices(new: NewKeys, stored: OwnKeys) -> list[Signature]:
    """What devices of the user have signed of a new master key."""
    master = new.get(Usage.MASTER)
    if master is None or stored.device_verify_keys.keys().isdisjoint(master.signatures):
        return []
    user_id = master.user_id
    return verified_signatures(
        master.signed, stored.device_verify_keys, user_id, user_id, master.public_key
    )


def _with_signatures_by(
    key: CrossSigningKey, verify_keys: Mapping[str, bytes]
) -> CrossSigningKey:
    known = {
        key_id: signature
        for key_id, signature in key.signatures.items()
        if key_id in verify_keys
    }
    return replace(key, signatures=known)
