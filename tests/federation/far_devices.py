"""Devices of a user of a server written by hand, as it tells of them."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.federation.remote import Remote
from tests.federation.rooms import send_edu
from tests.http_client import Client
from tests.server import Server

Json = dict[str, Any]

LIST = "/v1/user/devices/"
QUERY = "/v1/user/keys/query"


@dataclass(slots=True)
class FarDevices:
    """The device list of *user_id*; ``keys`` may be anything."""

    server: Server
    remote: Remote
    user_id: str
    keys: dict[str, object] = field(default_factory=dict)
    stream_id: int = 5
    generation: str = ""

    def __post_init__(self) -> None:
        self.remote.answers[self.path] = lambda _letter: self.listed()

    @property
    def path(self) -> str:
        """Where the list is asked for."""
        return LIST + quote(self.user_id, safe="")

    @property
    def identity(self) -> CrossSigningIdentity:
        """The cross-signing keys."""
        return CrossSigningIdentity(self.user_id, self.generation)

    def add(self, device_id: str, generation: str = "") -> Json:
        """A device, whose keys are valid; its keys."""
        keys = CryptoDevice(self.user_id, device_id, generation).keys()
        self.keys[device_id] = keys
        return keys

    def listed(self) -> Json:
        """The answer to SS ``getUserDevices``."""
        return {
            "user_id": self.user_id,
            "stream_id": self.stream_id,
            "devices": [
                {"device_id": device_id, "keys": keys}
                for device_id, keys in self.keys.items()
            ],
            "master_key": self.identity.public("master"),
            "self_signing_key": self.identity.public("self_signing"),
        }

    def queried(self) -> Json:
        """The answer to SS ``queryUserEncryptionKeys``."""
        return {
            "device_keys": {self.user_id: self.keys},
            "master_keys": {self.user_id: self.identity.public("master")},
            "self_signing_keys": {self.user_id: self.identity.public("self_signing")},
        }

    async def tell(self, device_id: str, /, **changed: object) -> None:
        """Send an update of a device, the next in line unless *changed*."""
        before, self.stream_id = self.stream_id, self.stream_id + 1
        content = {
            "user_id": self.user_id,
            "device_id": device_id,
            "stream_id": self.stream_id,
            "prev_id": [before],
            "keys": self.keys.get(device_id),
            **changed,
        }
        await send_edu(self.server, self.remote, "m.device_list_update", content)

    async def tell_signing_keys(self, **changed: object) -> None:
        """Send new cross-signing keys."""
        content = {
            "user_id": self.user_id,
            "master_key": self.identity.public("master"),
            "self_signing_key": self.identity.public("self_signing"),
            **changed,
        }
        await send_edu(self.server, self.remote, "m.signing_key_update", content)


async def query(client: Client, *user_ids: str, timeout_ms: int = 5000) -> Json:
    """The answer to CS ``queryKeys``."""
    wanted: dict[str, list[str]] = {user_id: [] for user_id in user_ids}
    body = {"device_keys": wanted, "timeout": timeout_ms}
    response = await client.post("/v3/keys/query", body)
    assert response.status == 200, response.body
    found: Json = response.json
    return found


async def changed_since(
    client: Client, since: str, *, timeout_ms: int = 0
) -> list[str]:
    """Whose devices have changed, as the next `/sync` tells."""
    path = f"/v3/sync?since={since}&timeout={timeout_ms}&set_presence=offline"
    synced = (await client.get(path)).json
    changed: list[str] = synced.get("device_lists", {}).get("changed", [])
    return changed


async def token_of(client: Client) -> str:
    """Where a client stands that has all the news."""
    token: str = (await client.get("/v3/sync?set_presence=offline")).json["next_batch"]
    return token
