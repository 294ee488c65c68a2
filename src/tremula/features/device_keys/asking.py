"""Keys of users of other servers, asked of their servers (SS
``queryUserEncryptionKeys``).
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Final

import structlog
from msgspec import Struct

from tremula.features.device_keys.published import UserKeys
from tremula.features.device_keys.queries import RemoteKeys
from tremula.infra.federation.client import FederationClient
from tremula.infra.federation.errors import PeerError, RemoteError
from tremula.infra.together import together
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.device_keys import (
    CrossSigningKey,
    Usage,
    check_signed,
    parse_cross_signing_key,
    parse_device_keys,
)
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import (
    DeviceId,
    ServerName,
    UserId,
    parse_device_id,
    server_of,
)

log = structlog.get_logger(__name__)

DEVICES_MAX: Final = 1_000
"""Of one user; what a server says of more is not looked at."""

_PATH: Final = "/_matrix/federation/v1/user/keys/query"
_SERVERS_AT_ONCE: Final = 50
_BYTES_MAX: Final = 8 * 1024 * 1024
_NAME_CHARS_MAX: Final = 255
_SECTIONS: Final = {
    Usage.MASTER: "master_keys",
    Usage.SELF_SIGNING: "self_signing_keys",
}

Failure = dict[str, Any]


class AskedServers(Struct, frozen=True):
    """Asks each time. Implements `RemoteDevices`.

    What is malformed or not signed as it has to be is left out, and costs no other
    device, user or server anything.
    """

    federation: FederationClient

    async def query(
        self, user_ids: Collection[UserId], *, timeout_s: float
    ) -> RemoteKeys:
        """The keys of users, all their servers being asked at once."""
        by_server: dict[ServerName, list[UserId]] = {}
        for user_id in user_ids:
            by_server.setdefault(server_of(user_id), []).append(user_id)
        turns = asyncio.Semaphore(_SERVERS_AT_ONCE)
        answers = await together(
            {
                server: self._ask(server, asked, turns, timeout_s)
                for server, asked in by_server.items()
            }
        )
        users: dict[UserId, UserKeys] = {}
        failures: dict[ServerName, Failure] = {}
        for server, answer in answers.items():
            if isinstance(answer, RemoteKeys):
                users |= answer.users
            else:
                failures[server] = answer
        return RemoteKeys(users, failures)

    async def _ask(
        self,
        server: ServerName,
        user_ids: Collection[UserId],
        turns: asyncio.Semaphore,
        timeout_s: float,
    ) -> RemoteKeys | Failure:
        try:
            async with asyncio.timeout(timeout_s), turns:
                answer = await self.federation.post(
                    server,
                    _PATH,
                    {"device_keys": {user_id: [] for user_id in user_ids}},
                    timeout_s=timeout_s,
                    bytes_max=_BYTES_MAX,
                )
        except PeerError as error:
            return {"errcode": error.errcode, "error": error.message}
        except (RemoteError, TimeoutError):
            # Without what went wrong: it may name addresses of our network.
            return {"errcode": "M_UNKNOWN", "error": "the server did not answer"}
        found = ((user_id, parse_told_keys(answer, user_id)) for user_id in user_ids)
        return RemoteKeys({each: keys for each, keys in found if keys is not None}, {})


def parse_told_keys(answer: object, user_id: UserId) -> UserKeys | None:
    """What of an answer are keys of *user_id*; None for a user that is not known."""
    devices = _section(answer, "device_keys").get(user_id)
    master = _cross_signing_key(answer, user_id, Usage.MASTER)
    if not isinstance(devices, dict):
        if master is None:
            return None
        devices = {}
    self_signing = _cross_signing_key(answer, user_id, Usage.SELF_SIGNING)
    if self_signing is not None and not _is_signed(self_signing, master):
        self_signing = None
    return UserKeys(
        _devices(user_id, devices),
        master=_encoded(master),
        self_signing=_encoded(self_signing),
    )


def _section(answer: object, name: str) -> Mapping[str, object]:
    section = answer.get(name) if isinstance(answer, dict) else None
    return section if isinstance(section, dict) else {}


def _devices(user_id: UserId, told: Mapping[str, object]) -> dict[DeviceId, bytes]:
    devices: dict[DeviceId, bytes] = {}
    for name, raw in list(told.items())[:DEVICES_MAX]:
        try:
            device_id = parse_device_id(name)
            keys = parse_device_keys(raw, user_id, device_id)
        except MatrixError as error:
            _log_refusal(user_id, error)
            continue
        unsigned = _unsigned(raw)
        content = {**keys.content, "unsigned": unsigned} if unsigned else keys.content
        devices[device_id] = encode_canonical(content)
    return devices


def _unsigned(raw: object) -> dict[str, str]:
    name = _section(raw, "unsigned").get("device_display_name")
    if not isinstance(name, str):
        return {}
    return {"device_display_name": name[:_NAME_CHARS_MAX]}


def _cross_signing_key(
    answer: object, user_id: UserId, usage: Usage
) -> CrossSigningKey | None:
    raw = _section(answer, _SECTIONS[usage]).get(user_id)
    if raw is None:
        return None
    try:
        return parse_cross_signing_key(raw, user_id, usage)
    except MatrixError as error:
        _log_refusal(user_id, error)
        return None


def _encoded(key: CrossSigningKey | None) -> bytes | None:
    return None if key is None else encode_canonical(key.signed)


def _is_signed(key: CrossSigningKey, master: CrossSigningKey | None) -> bool:
    if master is None:
        return False
    try:
        check_signed(key.signed, key.user_id, master.verify_keys)
    except MatrixError as error:
        _log_refusal(key.user_id, error)
        return False
    return True


def _log_refusal(user_id: UserId, error: MatrixError) -> None:
    log.info("remote_keys_refused", user_id=user_id, reason=error.message)
