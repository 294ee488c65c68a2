"""Keys of our own users, for other servers (SS "Device Management", "End-to-End
Encryption").
"""

from typing import Annotated, Any, Final, Protocol

import msgspec
import orjson
from msgspec import Meta, Struct

from tremula.features.device_keys.published import PublishedKeys, UserKeys
from tremula.features.device_keys.queries import Wanted, for_servers
from tremula.infra.http import Api, Auth, FederationRequest, Json, endpoint
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import (
    DeviceId,
    ServerName,
    UserId,
    parse_user_id,
    server_of,
)

USERS_MAX: Final = 5_000

_BODY_BYTES_MAX: Final = 512 * 1024


class StreamIds(Protocol):
    """Knows what other servers were told of our users' devices."""

    async def stream_id(self, user_id: UserId) -> int:
        """The ``stream_id`` of the newest ``m.device_list_update`` of the user.

        0 before the first one.
        """
        ...


class KeysForServers(Struct, frozen=True):
    """Tells other servers the keys of our own users, and of nobody else."""

    published: PublishedKeys
    streams: StreamIds
    own: ServerName

    async def devices_of(self, user_id: UserId) -> dict[str, Any]:
        """The body of SS ``getUserDevices``.

        Raises:
            NotFound: we have no such user.
        """
        # Read first: what changes meanwhile is in the devices, and told once more.
        stream_id = await self.streams.stream_id(user_id)
        keys = await self.published.of_user(user_id)
        if server_of(user_id) != self.own or keys is None:
            raise NotFound("this server has no such user")
        return _user_devices(user_id, stream_id, keys)

    async def query(self, wanted: Wanted) -> bytes:
        """The body of SS ``queryUserEncryptionKeys``; unknown users are left out."""
        ours = [user_id for user_id in wanted if server_of(user_id) == self.own]
        return for_servers(await self.published.of_users(ours), wanted)


class QueryUserEncryptionKeysBody(msgspec.Struct):
    """Body of SS ``queryUserEncryptionKeys``."""

    device_keys: Annotated[dict[str, list[DeviceId]], Meta(max_length=USERS_MAX)]


@endpoint(
    "GET",
    "/_matrix/federation/v1/user/devices/{user_id}",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
)
async def get_user_devices(req: FederationRequest, keys: KeysForServers) -> Json:
    """SS getUserDevices. Errors: M_NOT_FOUND, M_INVALID_PARAM."""
    return await keys.devices_of(parse_user_id(req.path["user_id"]))


@endpoint(
    "POST",
    "/_matrix/federation/v1/user/keys/query",
    auth=Auth.SERVER,
    api=Api.FEDERATION,
    max_body=_BODY_BYTES_MAX,
)
async def query_user_encryption_keys(
    req: FederationRequest, keys: KeysForServers
) -> Json:
    """SS queryUserEncryptionKeys. Errors: M_BAD_JSON, M_INVALID_PARAM."""
    wanted = req.body(QueryUserEncryptionKeysBody).device_keys
    return await keys.query({parse_user_id(each): wanted[each] for each in wanted})


def _user_devices(user_id: UserId, stream_id: int, keys: UserKeys) -> dict[str, Any]:
    devices = []
    for device_id, key_json in keys.devices.items():
        device_keys = orjson.loads(key_json)
        unsigned = device_keys.pop("unsigned", {})
        devices.append({"device_id": device_id, "keys": device_keys, **unsigned})
    body: dict[str, Any] = {
        "user_id": user_id,
        "stream_id": stream_id,
        "devices": devices,
    }
    if keys.master is not None:
        body["master_key"] = orjson.loads(keys.master)
    if keys.self_signing is not None:
        body["self_signing_key"] = orjson.loads(keys.self_signing)
    return body
