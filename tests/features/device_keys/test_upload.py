"""CS uploadKeys: identity keys of a device."""

import asyncio
from typing import Any

import pytest

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.features.device_keys.server import (
    ALICE,
    KeysServer,
    cross_sign,
    publish,
    query,
)
from tests.features.rooms import error_of
from tests.http_client import Client
from tremula.features.device_lists.service import DeviceListChange
from tremula.protocol.identifiers import DeviceId

UPLOAD = "/v3/keys/upload"
PHONE = CryptoDevice(ALICE, "PHONE")
OF_ALICE = CrossSigningIdentity(ALICE)
DROPPED = (ALICE, ("PHONE",))
CHANGED = (ALICE, DeviceListChange((DeviceId("PHONE"),)))


async def devices_of_alice(client: Client) -> Any:  # noqa: ANN401 - JSON
    return (await query(client, ALICE))["device_keys"][ALICE]


async def test_published_keys_are_what_others_get(
    alice: Client, bob: Client, keys: KeysServer
) -> None:
    response = await alice.post(UPLOAD, {"device_keys": PHONE.keys()})

    assert response.json == {"one_time_key_counts": {}}
    assert await devices_of_alice(bob) == {"PHONE": PHONE.keys()}
    assert keys.changes == [CHANGED]


async def test_the_same_keys_once_more_are_no_change(
    alice: Client, keys: KeysServer
) -> None:
    for _ in range(3):
        await publish(alice, PHONE)

    assert keys.changes == [CHANGED]


async def test_one_time_and_fallback_keys_are_handed_on(
    alice: Client, keys: KeysServer
) -> None:
    response = await alice.post(
        UPLOAD,
        {
            "one_time_keys": {"signed_curve25519:A": {"key": "a"}, "x:B": "b"},
            "fallback_keys": {"signed_curve25519:F": {"key": "f", "fallback": True}},
        },
    )

    assert response.json == {"one_time_key_counts": {"signed_curve25519": 1, "x": 1}}
    assert keys.one_time.fallback == {
        (ALICE, "PHONE"): {"signed_curve25519:F": {"key": "f", "fallback": True}}
    }
    assert keys.changes == []


async def test_new_identity_keys_drop_what_the_old_ones_had_signed(
    alice: Client, bob: Client, keys: KeysServer
) -> None:
    await publish(alice, PHONE)
    keys.one_time.dropped.clear()
    renewed = CryptoDevice(ALICE, "PHONE", "2")

    await publish(alice, renewed)

    assert await devices_of_alice(bob) == {"PHONE": renewed.keys()}
    assert keys.one_time.dropped == [DROPPED]
    assert keys.changes == [CHANGED, CHANGED]


async def test_the_first_keys_drop_what_a_device_of_this_id_left_behind(
    alice: Client, keys: KeysServer
) -> None:
    """Its one-time keys may have come while it was being deleted."""
    await publish(alice, PHONE)

    assert keys.one_time.dropped == [DROPPED]


async def test_another_algorithm_leaves_one_time_keys_alone(
    alice: Client, keys: KeysServer
) -> None:
    await publish(alice, PHONE)
    keys.one_time.dropped.clear()

    more = PHONE.keys(algorithms=["m.olm.v1.curve25519-aes-sha2", "org.example"])
    assert (await alice.post(UPLOAD, {"device_keys": more})).status == 200

    assert await devices_of_alice(alice) == {"PHONE": more}
    assert keys.one_time.dropped == []


async def test_a_signature_by_the_self_signing_key_may_come_with_the_keys(
    alice: Client, keys: KeysServer
) -> None:
    await cross_sign(alice, OF_ALICE)
    signed = OF_ALICE.sign("self_signing", PHONE.keys())
    keys.changes.clear()

    for _ in range(2):
        assert (await alice.post(UPLOAD, {"device_keys": signed})).status == 200

    assert await devices_of_alice(alice) == {"PHONE": signed}
    assert keys.changes == [CHANGED]


async def test_a_signature_that_nobody_can_verify_is_left_out(alice: Client) -> None:
    signed = OF_ALICE.sign("self_signing", PHONE.keys())

    assert (await alice.post(UPLOAD, {"device_keys": signed})).status == 200

    assert await devices_of_alice(alice) == {"PHONE": PHONE.keys()}


async def test_a_forged_signature_by_the_self_signing_key_is_refused(
    alice: Client,
) -> None:
    await cross_sign(alice, OF_ALICE)
    keys = PHONE.keys()
    keys["signatures"][ALICE][OF_ALICE.key("self_signing").key_id] = "A" * 86

    response = await alice.post(UPLOAD, {"device_keys": keys})

    assert error_of(response) == (400, "M_INVALID_SIGNATURE")


@pytest.mark.parametrize(
    ("device_keys", "errcode"),
    [
        ([], "M_BAD_JSON"),
        ("keys", "M_BAD_JSON"),
        ({}, "M_INVALID_PARAM"),
        (CryptoDevice("@bob:test", "PHONE").keys(), "M_INVALID_PARAM"),
        (CryptoDevice(ALICE, "LAPTOP").keys(), "M_INVALID_PARAM"),
        (PHONE.keys(keys={}), "M_MISSING_PARAM"),
        (PHONE.unsigned_keys(), "M_INVALID_SIGNATURE"),
        ({**PHONE.keys(), "algorithms": []}, "M_INVALID_SIGNATURE"),
        (
            CryptoDevice(ALICE, "PHONE", "2").sign(PHONE.unsigned_keys()),
            "M_INVALID_SIGNATURE",
        ),
    ],
)
async def test_keys_that_are_wrong_are_refused(
    alice: Client, keys: KeysServer, device_keys: object, errcode: str
) -> None:
    """HOSTILE: malformed device keys of a local user (CVE-2025-61672)."""
    response = await alice.post(UPLOAD, {"device_keys": device_keys})

    assert error_of(response) == (400, errcode)
    assert await devices_of_alice(alice) == {}
    assert keys.changes == []


@pytest.mark.parametrize(
    "body", [{"one_time_keys": []}, {"fallback_keys": "x"}, {"one_time_keys": None}]
)
async def test_one_time_keys_are_an_object(alice: Client, body: object) -> None:
    assert error_of(await alice.post(UPLOAD, body)) == (400, "M_BAD_JSON")


async def test_keys_that_are_too_large_are_refused(alice: Client) -> None:
    body = {"device_keys": PHONE.keys(more="x" * 16_384)}

    assert error_of(await alice.post(UPLOAD, body)) == (413, "M_TOO_LARGE")


async def test_uploads_at_once_leave_one_of_them(alice: Client) -> None:
    generations = [CryptoDevice(ALICE, "PHONE", str(number)) for number in range(8)]

    await asyncio.gather(*(publish(alice, each) for each in generations))

    assert (await devices_of_alice(alice))["PHONE"] in [
        each.keys() for each in generations
    ]


async def test_a_device_that_is_deleted_meanwhile_publishes_nothing(
    alice: Client, keys: KeysServer
) -> None:
    """Keys without their device would be encrypted for by everybody, for nothing."""
    laptop = await keys.device("alice", "LAPTOP")
    devices = keys.accounts.accounts.devices
    device_keys = CryptoDevice(ALICE, "LAPTOP").keys()

    responses = await asyncio.gather(
        laptop.post(UPLOAD, {"device_keys": device_keys}),
        devices.delete(ALICE, [DeviceId("LAPTOP")]),
    )

    assert responses[0].status in {200, 401}
    assert await devices_of_alice(alice) == {}
    await keys.device("alice", "LAPTOP")
    assert await devices_of_alice(alice) == {}


async def test_a_guest_publishes_keys(keys: KeysServer) -> None:
    answer = await keys.app.post("/v3/register?kind=guest", {})
    guest = Client(keys.app.app, answer.json["access_token"])
    device = CryptoDevice(answer.json["user_id"], answer.json["device_id"])

    await publish(guest, device)

    found = await query(guest, device.user_id)
    assert found["device_keys"][device.user_id] == {device.device_id: device.keys()}
