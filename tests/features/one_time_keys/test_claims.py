"""CS claimKeys of this server's users, over HTTP."""

import asyncio
from typing import Any

import pytest

from tests.backends import table_of_refusals
from tests.features.one_time_keys.keys import (
    ALICE,
    BOB,
    DEVICE,
    SIGNED,
    add,
    claim,
    service_of,
    signed_key,
    signed_keys,
    upload,
    upload_fallback,
)
from tests.features.rooms import error_of
from tests.http_client import Client
from tests.server import PASSWORD, Server
from tremula.features.one_time_keys.service import KeyClaim
from tremula.protocol.identifiers import DeviceId


@pytest.fixture
async def bob(server: Server, alice: Client) -> Client:
    client = server.client(BOB)
    assert (await client.get("/v3/account/whoami")).status == 200
    return client


async def test_a_key_is_given_out_once_in_order_of_upload(
    server: Server, bob: Client
) -> None:
    await upload(server, 9)
    await upload(server, 1, 2)
    claimed: list[dict[str, Any]] = [await claim(bob) for _ in range(4)]

    assert claimed == [signed_keys(9), signed_keys(1), signed_keys(2), {}]


async def test_1000_parallel_claims_of_100_keys_give_each_to_one(
    server: Server, alice: Client
) -> None:
    """By as many services as there may be processes, which share the database only."""
    await upload(server, *range(100))
    wanted = [KeyClaim(ALICE, DEVICE, SIGNED)]
    services = [service_of(server.app) for _ in range(10)]
    answers = await asyncio.gather(
        *(services[number % 10].claim(wanted) for number in range(1000))
    )

    names = [name for keys in answers for name in keys.get(ALICE, {}).get(DEVICE, {})]
    assert sorted(names) == sorted(signed_keys(*range(100)))


async def test_200_parallel_requests_give_each_key_to_one(
    server: Server, bob: Client
) -> None:
    await upload(server, *range(50))
    await upload_fallback(server, 77)
    answers = await asyncio.gather(*(claim(bob) for _ in range(200)))

    names = sorted(name for keys in answers for name in keys)
    fallback = [f"{SIGNED}:f77"] * 150
    assert names == sorted(list(signed_keys(*range(50))) + fallback)


async def test_a_fallback_key_is_given_out_when_there_are_no_others(
    server: Server, bob: Client
) -> None:
    await upload_fallback(server, 7)
    await upload(server, 1)
    claimed = [await claim(bob) for _ in range(3)]

    fallback = {f"{SIGNED}:f7": signed_key(7, fallback=True)}
    assert claimed == [signed_keys(1), fallback, fallback]


async def test_one_request_claims_of_many_devices(
    server: Server, alice: Client, bob: Client
) -> None:
    tablet = DeviceId("TABLET")
    await server.client(ALICE, device_id=tablet).get("/v3/account/whoami")
    await upload(server, 1)
    key = {f"{SIGNED}:x": signed_key(2, device_id=tablet)}
    await add(service_of(server.app), ALICE, tablet, key, {})
    wanted = {
        ALICE: {DEVICE: SIGNED, tablet: SIGNED, "NONE": SIGNED},
        "@nobody:test": {DEVICE: SIGNED},
    }
    answer = await bob.post("/v3/keys/claim", {"one_time_keys": wanted})

    assert answer.json == {
        "one_time_keys": {ALICE: {DEVICE: signed_keys(1), tablet: key}},
        "failures": {},
    }


async def test_keys_of_another_algorithm_are_not_given_out(
    server: Server, bob: Client
) -> None:
    await add(service_of(server.app), ALICE, DEVICE, {"x.other:1": "any"}, {})

    assert await claim(bob) == {}
    wanted = {ALICE: {DEVICE: "x.other"}}
    answer = await bob.post("/v3/keys/claim", {"one_time_keys": wanted})
    assert answer.json["one_time_keys"] == {ALICE: {DEVICE: {"x.other:1": "any"}}}


async def test_the_keys_of_a_device_go_with_it(
    server: Server, alice: Client, bob: Client
) -> None:
    await upload(server, 1)
    await upload_fallback(server, 2)
    assert (await alice.post("/v3/logout")).status == 200

    assert await claim(bob) == {}


async def test_the_keys_of_all_devices_go_with_them(
    server: Server, alice: Client, bob: Client
) -> None:
    await upload(server, 1)
    await upload_fallback(server, 2)
    assert (await alice.post("/v3/logout/all")).status == 200

    assert await claim(bob) == {}
    assert not await server.db.all("SELECT 1 FROM one_time_keys_fallback")


async def test_the_keys_of_a_device_stay_when_others_are_logged_out(
    server: Server, alice: Client, bob: Client
) -> None:
    await upload(server, 1)
    body = {
        "new_password": "horse battery staple",
        "auth": {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": ALICE},
            "password": PASSWORD,
        },
    }
    assert (await alice.post("/v3/account/password", body)).status == 200

    assert await claim(bob) == signed_keys(1)


@table_of_refusals
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, (400, "M_MISSING_PARAM")),
        ({"one_time_keys": []}, (400, "M_BAD_JSON")),
        ({"one_time_keys": {"bob": {"D": SIGNED}}}, (400, "M_INVALID_PARAM")),
        ({"one_time_keys": {ALICE: []}}, (400, "M_BAD_JSON")),
        ({"one_time_keys": {ALICE: {"D": 1}}}, (400, "M_BAD_JSON")),
        ({"one_time_keys": {ALICE: {"D\0": SIGNED}}}, (400, "M_BAD_JSON")),
        ({"one_time_keys": {ALICE: {"D": "\0"}}}, (400, "M_BAD_JSON")),
        ({"one_time_keys": {}, "timeout": -1}, (400, "M_INVALID_PARAM")),
        (
            {"one_time_keys": {ALICE: {f"D{n}": SIGNED for n in range(10_001)}}},
            (400, "M_BAD_JSON"),
        ),
    ],
)
async def test_a_malformed_claim_is_refused(
    bob: Client, body: object, error: tuple[int, str]
) -> None:
    assert error_of(await bob.post("/v3/keys/claim", body)) == error
