"""MSC3814, over HTTP."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.features.one_time_keys.keys import SIGNED
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.features.dehydrated_devices.service import (
    DEVICE_DATA_BYTES_MAX,
    EVENTS_MAX,
)
from tremula.protocol.base64 import encode_base64

PATH = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
ALICE = "@alice:test"
BOB = "@bob:test"

# "The client must use the public Curve25519 identity key of the device": with a slash.
ASLEEP = CryptoDevice(ALICE, "0vtWqNc9PqZ3/+kV7sUd3l4nXcGkNQm0iE8bT5QYp2o")
OTHER = CryptoDevice(ALICE, "1vtWqNc9PqZ3/+kV7sUd3l4nXcGkNQm0iE8bT5QYp2o")
SIGNED_BY_OTHER = CryptoDevice(ALICE, ASLEEP.device_id, "other").sign(
    {"key": encode_base64(b"k" * 32)}
)
DATA = {"algorithm": "org.matrix.msc3814.v1.olm", "device_pickle": "c2VjcmV0"}


def upload(device: CryptoDevice = ASLEEP, **changed: object) -> dict[str, Any]:
    """The body that uploads *device*."""
    public = {"key": encode_base64(b"k" * 32)}
    return {
        "device_id": device.device_id,
        "device_data": DATA,
        "initial_device_display_name": "Dehydrated device",
        "device_keys": device.keys(),
        "one_time_keys": {f"{SIGNED}:AAAA": device.sign(public)},
        "fallback_keys": {f"{SIGNED}:BBBB": device.sign(public | {"fallback": True})},
        **changed,
    }


async def events(
    client: Client, device: CryptoDevice = ASLEEP, **body: object
) -> HttpResponse:
    return await client.post(f"{PATH}/{quote(device.device_id, safe='')}/events", body)


async def tell(client: Client, device: CryptoDevice, *numbers: int) -> None:
    """Send messages to *device*."""
    for number in numbers:
        messages = {device.user_id: {device.device_id: {"number": number}}}
        sent = await client.put(
            f"/v3/sendToDevice/m.test/{number}", {"messages": messages}
        )
        assert sent.status == 200, sent


async def devices_of(client: Client) -> dict[str, Any]:
    answer = await client.post("/v3/keys/query", {"device_keys": {ALICE: []}})
    devices: dict[str, Any] = answer.json["device_keys"][ALICE]
    return devices


@pytest.fixture
async def alice(server: Server) -> Client:
    return server.client(ALICE, device_id="AWAKE")


async def test_a_device_is_uploaded_shown_and_deleted(alice: Client) -> None:
    none = [await alice.get(PATH), await alice.delete(PATH)]
    uploaded = await alice.put(PATH, upload())
    shown = await alice.get(PATH)
    deleted = await alice.delete(PATH)

    assert [(each.status, each.json["errcode"]) for each in none] == [
        (404, "M_NOT_FOUND")
    ] * 2
    assert (uploaded.status, uploaded.json) == (200, {"device_id": ASLEEP.device_id})
    assert shown.json == {"device_id": ASLEEP.device_id, "device_data": DATA}
    assert deleted.json == {"device_id": ASLEEP.device_id}
    assert (await alice.get(PATH)).status == 404


async def test_it_is_a_device_for_others(server: Server, alice: Client) -> None:
    bob = server.client(BOB)
    await alice.put(PATH, upload())

    shown = await devices_of(bob)
    wanted = {"one_time_keys": {ALICE: {ASLEEP.device_id: SIGNED}}}
    claimed = [(await bob.post("/v3/keys/claim", wanted)).json for _ in range(2)]

    assert shown[ASLEEP.device_id]["keys"] == ASLEEP.keys()["keys"]
    names = [list(each["one_time_keys"][ALICE][ASLEEP.device_id]) for each in claimed]
    assert names == [[f"{SIGNED}:AAAA"], [f"{SIGNED}:BBBB"]]
    await alice.delete(PATH)
    assert await devices_of(bob) == {}


async def test_its_messages_stay_until_it_is_replaced(
    server: Server, alice: Client
) -> None:
    """Who rehydrates it may be interrupted; another device begins anew."""
    bob = server.client(BOB)
    await alice.put(PATH, upload())
    await tell(bob, ASLEEP, *range(EVENTS_MAX + 3))

    first = (await events(alice)).json
    second = (await events(alice, next_batch=first["next_batch"])).json
    third = (await events(alice, next_batch=second["next_batch"])).json
    again = (await events(server.client(ALICE))).json

    numbers = [each["content"]["number"] for each in first["events"] + second["events"]]
    assert numbers == list(range(EVENTS_MAX + 3))
    assert first["events"][0] == {
        "type": "m.test",
        "sender": BOB,
        "content": {"number": 0},
    }
    assert third == {"events": [], "next_batch": second["next_batch"]}
    assert again == first


async def test_another_device_takes_its_place(server: Server, alice: Client) -> None:
    await alice.put(PATH, upload())
    await tell(server.client(BOB), ASLEEP, 1)

    replaced = await alice.put(PATH, upload(OTHER))

    assert replaced.status == 200
    assert (await alice.get(PATH)).json["device_id"] == OTHER.device_id
    assert list(await devices_of(alice)) == [OTHER.device_id]
    assert (await events(alice, OTHER)).json["events"] == []
    refused = await events(alice, ASLEEP)
    assert (refused.status, refused.json["errcode"]) == (403, "M_FORBIDDEN")
    messages = await server.db.all("SELECT device_id FROM to_device_messages")
    assert messages == []


async def test_an_upload_may_be_repeated(server: Server, alice: Client) -> None:
    data = DATA | {"device_pickle": "other"}
    await alice.put(PATH, upload())
    await tell(server.client(BOB), ASLEEP, 1)

    again = await alice.put(PATH, upload(device_data=data))

    assert again.status == 200
    assert (await alice.get(PATH)).json["device_data"] == data
    assert len((await events(alice)).json["events"]) == 1


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"device_id": ""}, "M_INVALID_PARAM"),
        ({"device_id": "other"}, "M_INVALID_PARAM"),
        ({"device_keys": ASLEEP.unsigned_keys()}, "M_INVALID_SIGNATURE"),
        ({"device_keys": CryptoDevice(BOB, "X").keys()}, "M_INVALID_PARAM"),
        ({"device_data": "opaque"}, "M_BAD_JSON"),
        ({"device_data": {}}, "M_BAD_JSON"),
        ({"device_data": DATA | {"x": "x" * DEVICE_DATA_BYTES_MAX}}, "M_TOO_LARGE"),
        ({"one_time_keys": {f"{SIGNED}:A": "unsigned"}}, "M_INVALID_PARAM"),
        ({"fallback_keys": {f"{SIGNED}:A": {}}}, "M_INVALID_PARAM"),
        ({"one_time_keys": {f"{SIGNED}:A": SIGNED_BY_OTHER}}, "M_INVALID_SIGNATURE"),
        ({"fallback_keys": {f"{SIGNED}:A": SIGNED_BY_OTHER}}, "M_INVALID_SIGNATURE"),
        ({"initial_device_display_name": "x" * 200}, "M_INVALID_PARAM"),
    ],
)
async def test_what_is_malformed_replaces_nothing(
    alice: Client, change: dict[str, Any], errcode: str
) -> None:
    await alice.put(PATH, upload(OTHER))

    refused = await alice.put(PATH, upload(**change))

    assert refused.json["errcode"] == errcode
    assert (await alice.get(PATH)).json["device_id"] == OTHER.device_id
    assert list(await devices_of(alice)) == [OTHER.device_id]


async def test_what_the_self_signing_key_has_not_signed_replaces_nothing(
    alice: Client,
) -> None:
    await alice.put(PATH, upload(OTHER))
    identity = CrossSigningIdentity(ALICE)
    await alice.post("/v3/keys/device_signing/upload", identity.upload())
    keys = identity.sign("self_signing", ASLEEP.keys())
    keys["signatures"][ALICE][identity.key("self_signing").key_id] = "A" * 86

    refused = await alice.put(PATH, upload(device_keys=keys))

    assert refused.json["errcode"] == "M_INVALID_SIGNATURE"
    assert (await alice.get(PATH)).json["device_id"] == OTHER.device_id


async def test_what_has_the_id_of_a_key_replaces_nothing(alice: Client) -> None:
    await alice.put(PATH, upload(OTHER))
    identity = CrossSigningIdentity(ALICE)
    await alice.post("/v3/keys/device_signing/upload", identity.upload())

    refused = await alice.put(
        PATH, upload(CryptoDevice(ALICE, identity.name("master")))
    )

    assert refused.json["errcode"] == "M_INVALID_PARAM"
    assert (await alice.get(PATH)).json["device_id"] == OTHER.device_id


@pytest.mark.parametrize("missing", ["device_id", "device_data", "device_keys"])
async def test_what_it_needs_must_be_there(alice: Client, missing: str) -> None:
    body = {key: value for key, value in upload().items() if key != missing}

    refused = await alice.put(PATH, body)

    assert (refused.status, refused.json["errcode"]) == (400, "M_MISSING_PARAM")


async def test_a_device_that_is_awake_is_not_put_to_sleep(alice: Client) -> None:
    refused = await alice.put(PATH, upload(CryptoDevice(ALICE, "AWAKE")))

    assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_PARAM")
    assert (await alice.get(PATH)).status == 404


async def test_of_devices_uploaded_at_once_one_is_left(
    server: Server, alice: Client
) -> None:
    names = [f"{number}" for number in range(3)]
    await alice.get(PATH)

    answers = await asyncio.gather(
        *(alice.put(PATH, upload(CryptoDevice(ALICE, name))) for name in names)
    )

    assert 200 in [each.status for each in answers]
    left = (await alice.get(PATH)).json["device_id"]
    rows = await server.db.all("SELECT device_id FROM devices ORDER BY device_id")
    assert rows == [(left,), ("AWAKE",)]


@pytest.mark.parametrize("next_batch", ["", "x", "-1", "9" * 19, "²"])
async def test_a_token_that_is_none_is_refused(alice: Client, next_batch: str) -> None:
    await alice.put(PATH, upload())

    refused = await events(alice, next_batch=next_batch)

    assert (refused.status, refused.json["errcode"]) == (400, "M_INVALID_PARAM")


async def test_it_is_its_owners_alone(server: Server, alice: Client) -> None:
    bob = server.client(BOB)
    await alice.put(PATH, upload())

    assert (await bob.get(PATH)).status == 404
    assert (await events(bob)).status == 403


async def test_it_goes_with_all_devices(server: Server, alice: Client) -> None:
    await alice.put(PATH, upload())

    await alice.post("/v3/logout/all")

    assert (await server.client(ALICE).get(PATH)).status == 404
    assert await server.db.all("SELECT user_id FROM dehydrated_devices") == []


async def test_who_logs_in_with_it_wakes_it_up(server: Server, alice: Client) -> None:
    await alice.put(PATH, upload())

    await server.client(ALICE, device_id=ASLEEP.device_id).get("/v3/account/whoami")

    assert (await alice.get(PATH)).status == 404
    assert list(await devices_of(alice)) == [ASLEEP.device_id]
