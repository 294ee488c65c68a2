"""What `/sync` tells a device of its keys (CS "Extensions to /sync")."""

from functools import lru_cache
from typing import Final

from tremula.features.one_time_keys.service import TOPIC, OneTimeKeys
from tremula.infra.cache import ByteLRU
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.json import encode_to_keep
from tremula.protocol.one_time_keys import SIGNED_CURVE25519

_CACHE_BYTES: Final = 4 * 1024 * 1024
_DEVICE_BYTES: Final = 600

# Clients are told when they have none, so that they need not guess.
_NO_KEYS: Final = {SIGNED_CURVE25519: 0}


class KeyStatus:
    """Implements `DeviceStatus`: how many keys are left. No query if known already."""

    topic = TOPIC

    def __init__(self, keys: OneTimeKeys, journal: Journal) -> None:
        self._keys = keys
        self._journal = journal
        self.cache: ByteLRU[tuple[UserId, DeviceId], tuple[int, bytes]] = ByteLRU(
            _CACHE_BYTES
        )
        """What is told by user and device, with the position that it was read at."""

    async def fields(self, user_id: UserId, device_id: DeviceId) -> bytes:
        """``device_one_time_keys_count`` and ``device_unused_fallback_key_types``."""
        known = self.cache.get((user_id, device_id))
        if known is not None and self._journal.changed_pos(TOPIC, user_id) <= known[0]:
            return known[1]
        pos = self._journal.position
        counts = _NO_KEYS | await self._keys.counts(user_id, device_id)
        unused = await self._keys.unused_fallback_types(user_id, device_id)
        fields = _fields(frozenset(counts.items()), tuple(unused))
        self.cache.put((user_id, device_id), (pos, fields), size_bytes=_DEVICE_BYTES)
        return fields


@lru_cache(maxsize=1_024)
def _fields(counts: frozenset[tuple[str, int]], unused: tuple[str, ...]) -> bytes:
    """The same object for all devices with as many keys, of which there are many."""
    return b'"device_one_time_keys_count":%b,"device_unused_fallback_key_types":%b' % (
        encode_to_keep(dict(sorted(counts))),
        encode_to_keep(unused),
    )
