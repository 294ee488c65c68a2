"""Keys of devices: published, claimed, and asked for."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.client import User, check, each
from bench.processes import measured
from bench.scenarios.subject import Metrics, Subject, prefixed
from tremula.protocol.base64 import encode_base64
from tremula.protocol.signing import SigningKey, sign_json

_ALGORITHM: Final = "signed_curve25519"
_KEY_BYTES: Final = 32

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """Devices upload their keys with one-time keys, later more of these; others claim
    some, and ask for the keys of several devices at once. Every signature is real.
    """

    uploads: int = 400
    users: int = 20
    one_time_keys: int = 50
    claimers: int = 8
    claims: int = 800
    queries: int = 400

    async def run(self, subject: Subject) -> Metrics:
        """See `Scenario`."""
        owners = await subject.homeserver.users(self.users)
        claimers = await subject.homeserver.users(self.claimers)
        others = await subject.homeserver.users(self.uploads)
        uploads = [(user, upload_body(user, self.one_time_keys)) for user in owners]
        # So that the server is warm: these are not measured.
        await each(uploads, lambda upload: self._publish(*upload), at_once=4)
        signing = [(user, _signing_key(user)) for user in others]
        first = range(self.one_time_keys)
        more = [(user, _upload_body(user, key, first)) for user, key in signing]
        async with measured(subject.processes) as uploading:
            await each(more, lambda upload: self._publish(*upload), at_once=4)

        later = range(self.one_time_keys, 2 * self.one_time_keys)
        added = [(user, _one_time_keys(user, key, later)) for user, key in signing]
        async with measured(subject.processes) as adding:
            await each(added, lambda upload: _add(*upload), at_once=4)

        async def claim(number: int) -> str:
            owner = owners[number % len(owners)]
            return await _claim(claimers[number % len(claimers)], owner)

        async with measured(subject.processes) as claiming:
            claimed = await each(range(self.claims), claim, at_once=self.claimers)
        check(len(set(claimed)) == len(claimed), "a key was given out twice")

        wanted: Json = {"device_keys": {user.user_id: [] for user in owners}}
        published = {user.user_id: body["device_keys"] for user, body in uploads}

        async def query(number: int) -> None:
            found = await claimers[number % len(claimers)].post("/keys/query", wanted)
            check(len(found["device_keys"]) == len(owners), "users are missing")

        async with measured(subject.processes) as asking:
            await each(range(self.queries), query, at_once=self.claimers)
        _check_published(await claimers[0].post("/keys/query", wanted), published)
        return {
            **prefixed("upload", uploading.cpu_ms_per(len(more))),
            **prefixed("addition", adding.cpu_ms_per(len(added))),
            **prefixed("claim", claiming.cpu_ms_per(self.claims)),
            **prefixed("query", asking.cpu_ms_per(self.queries)),
        }

    async def _publish(self, user: User, body: Json) -> None:
        counts = (await user.post("/keys/upload", body))["one_time_key_counts"]
        check(counts == {_ALGORITHM: self.one_time_keys}, "keys were not all counted")


async def _add(user: User, one_time_keys: Json) -> None:
    answer = await user.post("/keys/upload", {"one_time_keys": one_time_keys})
    counts = answer["one_time_key_counts"]
    check(counts == {_ALGORITHM: 2 * len(one_time_keys)}, "keys were not all added")


def upload_body(user: User, one_time_keys: int) -> Json:
    """The body with which a new device publishes its keys."""
    return _upload_body(user, _signing_key(user), range(one_time_keys))


def _upload_body(user: User, key: SigningKey, numbers: Iterable[int]) -> Json:
    device_keys = {
        "user_id": user.user_id,
        "device_id": user.device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {
            key.key_id: encode_base64(key.public_key),
            f"curve25519:{user.device_id}": _curve25519(),
        },
    }
    return {
        "device_keys": sign_json(device_keys, user.user_id, key),
        "one_time_keys": _one_time_keys(user, key, numbers),
    }


def _one_time_keys(user: User, key: SigningKey, numbers: Iterable[int]) -> Json:
    return {
        f"{_ALGORITHM}:{number:06}": sign_json(
            {"key": _curve25519()}, user.user_id, key
        )
        for number in numbers
    }


def _signing_key(user: User) -> SigningKey:
    return SigningKey.from_seed(
        f"ed25519:{user.device_id}", secrets.token_bytes(_KEY_BYTES)
    )


def _curve25519() -> str:
    return encode_base64(secrets.token_bytes(_KEY_BYTES))


async def _claim(claimer: User, owner: User) -> str:
    wanted = {owner.user_id: {owner.device_id: _ALGORITHM}}
    answer = await claimer.post("/keys/claim", {"one_time_keys": wanted})
    keys = answer["one_time_keys"][owner.user_id][owner.device_id]
    check(len(keys) == 1, "one key was claimed")
    [key] = keys.values()
    public: str = key["key"]
    return public


def _check_published(found: Json, published: Mapping[str, Json]) -> None:
    told = {
        user_id: {**keys, "unsigned": None}
        for user_id, devices in found["device_keys"].items()
        for keys in devices.values()
    }
    wanted = {
        user_id: {**keys, "unsigned": None} for user_id, keys in published.items()
    }
    check(told == wanted, "other keys than were published")
