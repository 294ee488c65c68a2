"""Answers to CS ``queryKeys``: keys of anybody, as one of our users may see them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson
from msgspec import Struct

from tremula.features.device_keys import storage
from tremula.features.device_keys.published import PublishedKeys, UserKeys, signed_by
from tremula.infra.db import Reader
from tremula.protocol.device_keys import key_id_of
from tremula.protocol.identifiers import (
    DeviceId,
    ServerName,
    UserId,
    parse_user_id,
    server_of,
)

_AT_ONCE: Final = 500

Wanted = Mapping[UserId, Collection[DeviceId]]
"""Devices by their users, as they were asked for; an empty list stands for all."""


class RemoteKeys(Struct, frozen=True):
    """Keys of users of other servers, and the standard error of each that failed."""

    users: Mapping[UserId, UserKeys]
    failures: Mapping[ServerName, Mapping[str, Any]]


class RemoteDevices(Protocol):
    """Knows the keys of users of other servers, or asks for them."""

    async def query(
        self, user_ids: Collection[UserId], *, timeout_s: float
    ) -> RemoteKeys:
        """Their keys, verified; users that their server does not know are left out.

        Never raises for what other servers do or say.
        """
        ...


class KeyQueries(Struct, frozen=True):
    """Finds the keys that a user asks for."""

    db: Reader
    published: PublishedKeys
    remote: RemoteDevices
    own: ServerName

    async def answer(
        self, requester: UserId, wanted: Wanted, *, timeout_s: float
    ) -> bytes:
        """The body of the answer.

        Costs a query for each 500 users of whom there is a master key, beside what
        `PublishedKeys` and `RemoteDevices` cost: one for users asked for lately.

        Raises:
            InvalidParam: what should be a user of another server has no user ID.
        """
        ours: list[UserId] = []
        others: list[UserId] = []
        for user_id in wanted:
            if server_of(user_id) == self.own:
                ours.append(user_id)
            else:
                others.append(parse_user_id(user_id))
        users = await self.published.of_users(ours)
        failures: Mapping[ServerName, Mapping[str, Any]] = {}
        if others:
            remote = await self.remote.query(others, timeout_s=timeout_s)
            users |= remote.users
            failures = remote.failures
        masters = await self._masters(requester, users)
        own_keys = users.get(requester)
        user_signing = own_keys.user_signing if own_keys else None
        return joined(
            {
                b"device_keys": _devices(users, wanted),
                b"master_keys": _object(masters.items()),
                b"self_signing_keys": _object(
                    (user_id, keys.self_signing) for user_id, keys in users.items()
                ),
                b"user_signing_keys": _object([(requester, user_signing)]),
                b"failures": orjson.dumps(failures),
            }
        )

    async def _masters(
        self, requester: UserId, users: Mapping[UserId, UserKeys]
    ) -> dict[UserId, bytes]:
        """Master keys, with the signatures that *requester* has made of them."""
        masters = {
            user_id: keys.master
            for user_id, keys in users.items()
            if keys.master is not None
        }
        others = [user_id for user_id in masters if user_id != requester]
        for start in range(0, len(others), _AT_ONCE):
            signatures = await storage.signatures_by(
                self.db, requester, others[start : start + _AT_ONCE]
            )
            for each in signatures:
                user_id = each.target_user_id
                if _is_key(masters[user_id], each.target_name):
                    added = {key_id_of(each.signing_name): each.signature}
                    masters[user_id] = signed_by(masters[user_id], requester, added)
        return masters


def for_servers(users: Mapping[UserId, UserKeys], wanted: Wanted) -> bytes:
    """The body of SS ``queryUserEncryptionKeys``: without user-signing keys."""
    return joined(
        {
            b"device_keys": _devices(users, wanted),
            b"master_keys": _object(
                (user_id, keys.master) for user_id, keys in users.items()
            ),
            b"self_signing_keys": _object(
                (user_id, keys.self_signing) for user_id, keys in users.items()
            ),
        }
    )


def joined(sections: Mapping[bytes, bytes]) -> bytes:
    """A JSON object of JSON values; the names are plain ASCII."""
    members = (b'"%b":%b' % section for section in sections.items())
    return b"{%b}" % b",".join(members)


def _devices(users: Mapping[UserId, UserKeys], wanted: Wanted) -> bytes:
    return _object(
        (user_id, _object(_chosen(keys.devices, wanted[user_id])))
        for user_id, keys in users.items()
        if user_id in wanted
    )


def _chosen(
    devices: Mapping[DeviceId, bytes], wanted: Collection[DeviceId]
) -> Iterable[tuple[DeviceId, bytes]]:
    if not wanted:
        return devices.items()
    return [(each, devices[each]) for each in set(wanted) if each in devices]


def _object(members: Iterable[tuple[str, bytes | None]]) -> bytes:
    present: Sequence[bytes] = [
        orjson.dumps(name) + b":" + value
        for name, value in members
        if value is not None
    ]
    return b"{%b}" % b",".join(present)


def _is_key(key_json: bytes, public_key: str) -> bool:
    return key_id_of(public_key) in orjson.loads(key_json)["keys"]
