"""All keys of one of our users, to check new ones and signatures with."""

from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct

from tremula.features.device_keys import storage
from tremula.infra.db import Reader
from tremula.protocol.device_keys import (
    CrossSigningKey,
    Json,
    Usage,
    decode_key,
    key_id_of,
    parse_cross_signing_key,
)
from tremula.protocol.identifiers import DeviceId, UserId


class OwnKeys(Struct, frozen=True):
    """The user's devices, with their keys if they have any, and cross-signing keys."""

    devices: Mapping[DeviceId, Json | None]
    cross_signing: Mapping[Usage, CrossSigningKey]

    @property
    def device_verify_keys(self) -> Mapping[str, bytes]:
        """The Ed25519 keys of the devices, by their IDs."""
        return {
            key_id: decode_key(keys["keys"][key_id])
            for device_id, keys in self.devices.items()
            if keys is not None
            for key_id in [key_id_of(device_id)]
        }


async def own_keys(db: Reader, user_id: UserId) -> OwnKeys:
    """What the user has, in one query."""
    devices: dict[DeviceId, Json | None] = {}
    cross_signing: dict[Usage, CrossSigningKey] = {}
    for key in await storage.keys_of_users(db, [user_id]):
        value: Any = None if key.key_json is None else orjson.loads(key.key_json)
        if key.usage is None:
            devices[DeviceId(key.name)] = value
        else:
            cross_signing[key.usage] = parse_cross_signing_key(
                value, user_id, key.usage
            )
    return OwnKeys(devices, cross_signing)
