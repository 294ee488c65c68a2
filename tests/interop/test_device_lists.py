"""Devices and cross-signing keys as the other server's users see them."""

import asyncio
from collections.abc import Callable

import pytest

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.interop.conftest import Partition
from tests.interop.user import DEADLINE_S, Json, User, share_room

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]


async def device_of(user: User) -> CryptoDevice:
    """The user's device, whose keys are published by this."""
    device_id = (await user.get("account", "whoami"))["device_id"]
    device = CryptoDevice(user.user_id, device_id)
    await user.post("keys", "upload", json={"device_keys": device.keys()})
    return device


async def keys_of(user: User, other: User) -> Json:
    """What *user* is told of the keys of *other*."""
    wanted: dict[str, list[str]] = {other.user_id: []}
    return await user.post("keys", "query", json={"device_keys": wanted})


async def sign_device(
    user: User, device: CryptoDevice, identity: CrossSigningIdentity
) -> None:
    """Have a user's device signed by their self-signing key."""
    signed = identity.sign("self_signing", device.keys())
    body = {user.user_id: {device.device_id: signed}}
    answer = await user.post("keys", "signatures", "upload", json=body)
    assert not answer["failures"]


async def until_keys(user: User, other: User, is_so: Callable[[Json], bool]) -> Json:
    """What is told of the keys of *other*, once it is so.

    They are asked for only when `/sync` says that they have changed.
    """
    answer = await user.get("sync", query={"timeout": "0"})
    found = await keys_of(user, other)
    async with asyncio.timeout(DEADLINE_S):
        while not is_so(found):
            query = {"since": answer["next_batch"], "timeout": "5000"}
            answer = await user.get("sync", query=query)
            if other.user_id in answer.get("device_lists", {}).get("changed", []):
                found = await keys_of(user, other)
    return found


def devices(found: Json, user: User) -> Json:
    """The keys of a user's devices, by their IDs."""
    of_user: Json = found["device_keys"].get(user.user_id, {})
    return of_user


def signatures(found: Json, device: CryptoDevice) -> Json:
    """The signatures of a device."""
    keys: Json = found["device_keys"][device.user_id][device.device_id]
    signed: Json = keys["signatures"]
    return signed


@pytest.fixture(params=["host sees guest", "guest sees host"])
def sides(request: pytest.FixtureRequest, alice: User, bob: User) -> tuple[User, User]:
    """Who looks, and at whom."""
    return (alice, bob) if request.param == "host sees guest" else (bob, alice)


async def test_devices_and_their_changes_are_seen_by_the_other_side(
    alice: User, bob: User, sides: tuple[User, User]
) -> None:
    user, other = sides
    phone, identity = await device_of(other), CrossSigningIdentity(other.user_id)
    await share_room(alice, bob, "11")

    found = await until_keys(user, other, lambda found: bool(devices(found, other)))
    [keys] = devices(found, other).values()
    assert keys["keys"] == phone.keys()["keys"]
    assert keys["signatures"] == phone.keys()["signatures"]

    await other.post("keys", "device_signing", "upload", json=identity.upload())
    found = await until_keys(
        user, other, lambda found: other.user_id in found["self_signing_keys"]
    )
    master = found["master_keys"][other.user_id]
    assert master["keys"] == identity.public("master")["keys"]

    await sign_device(other, phone, identity)
    signed = identity.sign("self_signing", phone.keys())
    await until_keys(
        user, other, lambda found: signatures(found, phone) == signed["signatures"]
    )


async def test_a_device_that_logs_out_is_gone_on_the_other_side(
    alice: User, bob: User
) -> None:
    await device_of(bob)
    await share_room(alice, bob, "11")
    await until_keys(alice, bob, lambda found: bool(devices(found, bob)))

    await bob.post("logout")

    await until_keys(alice, bob, lambda found: not devices(found, bob))


async def test_what_changed_during_a_partition_is_seen_after_it(
    alice: User, bob: User, partition: Partition
) -> None:
    phone = await device_of(bob)
    await share_room(alice, bob, "11")
    await until_keys(alice, bob, lambda found: bool(devices(found, bob)))
    identity = CrossSigningIdentity(bob.user_id)

    partition.begin()
    await bob.post("keys", "device_signing", "upload", json=identity.upload())
    await sign_device(bob, phone, identity)
    partition.heal()

    signed = identity.sign("self_signing", phone.keys())
    await until_keys(
        alice, bob, lambda found: signatures(found, phone) == signed["signatures"]
    )
