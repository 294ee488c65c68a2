"""Device keys and cross-signing keys between servers."""

import asyncio
from typing import Any

import pytest

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.features.rooms import error_of
from tests.federation.network import Federation, Letter
from tests.federation.remote import Refusal, Remote
from tests.http_client import Client
from tests.server import Server

Json = dict[str, Any]

ALICE = "@alice:one.test"
FAR = "@far:far.test"
OTHER = "@other:far.test"
PHONE = CryptoDevice(ALICE, "PHONE")
OF_ALICE = CrossSigningIdentity(ALICE)
DEVICE = CryptoDevice(FAR, "FAR")
IDENTITY = CrossSigningIdentity(FAR)
MASTER = IDENTITY.public("master")
SELF_SIGNING = IDENTITY.public("self_signing")
PATH = "user/keys/query"


async def query(client: Client, *user_ids: str, timeout_ms: int = 5000) -> Json:
    wanted: dict[str, list[str]] = {user_id: [] for user_id in user_ids}
    body = {"device_keys": wanted, "timeout": timeout_ms}
    response = await client.post("/v3/keys/query", body)
    assert response.status == 200, response.body
    found: Json = response.json
    return found


async def publish(client: Client, device: CryptoDevice) -> None:
    body = {"device_keys": device.keys()}
    assert (await client.post("/v3/keys/upload", body)).status == 200


@pytest.fixture
async def phone(one: Server, alice: Client) -> Client:
    """A device of Alice on ``one.test`` with keys of all kinds."""
    phone = one.client(ALICE, device_id="PHONE")
    await publish(phone, PHONE)
    path = "/v3/keys/device_signing/upload"
    assert (await phone.post(path, OF_ALICE.upload())).status == 200
    signed = {ALICE: {"PHONE": OF_ALICE.sign("self_signing", PHONE.keys())}}
    answer = await phone.post("/v3/keys/signatures/upload", signed)
    assert answer.json == {"failures": {}}
    return phone


async def test_a_user_is_told_the_keys_of_another_servers(
    phone: Client, bob: Client
) -> None:
    found = await query(bob, ALICE, "@nobody:one.test")

    signed = OF_ALICE.sign("self_signing", PHONE.keys())
    assert found["device_keys"] == {ALICE: {"PHONE": signed}}
    assert found["master_keys"][ALICE]["keys"] == OF_ALICE.public("master")["keys"]
    assert found["self_signing_keys"] == {ALICE: OF_ALICE.public("self_signing")}
    assert found["user_signing_keys"] == {}
    assert found["failures"] == {}


async def test_servers_that_fail_are_named_and_the_others_answer(
    phone: Client, bob: Client, remote: Remote, federation: Federation
) -> None:
    remote.answers[PATH] = Refusal(403, "M_FORBIDDEN")
    federation.network.down.add("down.test")

    found = await query(bob, ALICE, FAR, "@x:down.test")

    assert list(found["device_keys"]) == [ALICE]
    codes = {server: each["errcode"] for server, each in found["failures"].items()}
    assert codes == {"far.test": "M_FORBIDDEN", "down.test": "M_UNKNOWN"}


async def test_a_server_that_does_not_answer_is_waited_for_as_long_as_asked(
    bob: Client, remote: Remote
) -> None:
    async def never(_letter: Letter) -> object:
        return await asyncio.get_running_loop().create_future()

    remote.answers[PATH] = never

    found = await query(bob, FAR, timeout_ms=1)

    assert found["failures"]["far.test"]["errcode"] == "M_UNKNOWN"


async def test_a_master_key_of_another_server_is_signed(
    bob: Client, phone: Client
) -> None:
    identity = CrossSigningIdentity("@bob:two.test")
    path = "/v3/keys/device_signing/upload"
    assert (await bob.post(path, identity.upload())).status == 200
    signed = identity.sign("user_signing", OF_ALICE.public("master"))

    body = {ALICE: {OF_ALICE.name("master"): signed}}
    answer = await bob.post("/v3/keys/signatures/upload", body)

    assert answer.json == {"failures": {}}
    assert (await query(bob, ALICE))["master_keys"] == {ALICE: signed}
    assert (
        "@bob:two.test"
        not in ((await query(phone, ALICE))["master_keys"][ALICE]["signatures"])
    )


def forged(key: Json) -> Json:
    """*key* with wrong signatures."""
    return {**key, "signatures": {FAR: dict.fromkeys(key["signatures"][FAR], "A" * 86)}}


BAD_DEVICES: list[object] = [
    None,
    7,
    [],
    {},
    {**DEVICE.keys(), "user_id": OTHER},
    {**DEVICE.keys(), "keys": []},
    {**DEVICE.keys(), "algorithms": [{}]},
    {**DEVICE.keys(), "number": 1.5},
    {**DEVICE.keys(), "number": 2**63},
    {**DEVICE.keys(), "text": "x" * 20_000},
    DEVICE.unsigned_keys(),
    forged(DEVICE.keys()),
]


@pytest.mark.parametrize("bad", BAD_DEVICES)
async def test_malformed_keys_of_one_device_cost_no_other(
    bob: Client, remote: Remote, bad: object
) -> None:
    """HOSTILE: malformed device keys of a remote user (CVE-2025-61672)."""
    good = CryptoDevice(FAR, "GOOD").keys()
    named = {**good, "unsigned": {"device_display_name": "Good", "other": 7}}
    remote.answers[PATH] = {
        "device_keys": {FAR: {"FAR": bad, "GOOD": named, "": good, "X": good}},
        "master_keys": {FAR: MASTER},
        "self_signing_keys": {FAR: SELF_SIGNING},
    }

    found = await query(bob, FAR)

    shown = {**good, "unsigned": {"device_display_name": "Good"}}
    assert found["device_keys"] == {FAR: {"GOOD": shown}}
    assert found["self_signing_keys"] == {FAR: SELF_SIGNING}
    assert found["failures"] == {}


async def test_a_server_says_nothing_of_users_that_are_not_its_own(
    phone: Client, bob: Client, remote: Remote
) -> None:
    remote.answers[PATH] = {
        "device_keys": {
            FAR: {"FAR": DEVICE.keys()},
            ALICE: {"EVIL": CryptoDevice(ALICE, "EVIL").keys()},
        },
        "master_keys": {ALICE: CrossSigningIdentity(ALICE, "evil").public("master")},
    }

    found = await query(bob, FAR, ALICE)

    assert list(found["device_keys"][ALICE]) == ["PHONE"]
    assert found["master_keys"][ALICE]["keys"] == OF_ALICE.public("master")["keys"]


@pytest.mark.parametrize(
    ("told", "master", "self_signing"),
    [
        ({"self_signing_keys": {FAR: SELF_SIGNING}}, False, False),
        ({"master_keys": {FAR: MASTER}}, True, False),
        (
            {"master_keys": {FAR: MASTER}, "self_signing_keys": {FAR: SELF_SIGNING}},
            True,
            True,
        ),
        (
            {
                "master_keys": {FAR: MASTER},
                "self_signing_keys": {FAR: forged(SELF_SIGNING)},
            },
            True,
            False,
        ),
        (
            {"master_keys": {FAR: []}, "self_signing_keys": {FAR: SELF_SIGNING}},
            False,
            False,
        ),
        ({"master_keys": [], "self_signing_keys": 7}, False, False),
    ],
)
async def test_cross_signing_keys_are_taken_as_far_as_they_are_signed(
    bob: Client, remote: Remote, told: Json, *, master: bool, self_signing: bool
) -> None:
    remote.answers[PATH] = {"device_keys": {FAR: {}}, **told}

    found = await query(bob, FAR)

    assert found["device_keys"] == {FAR: {}}
    assert (FAR in found["master_keys"]) is master
    assert (FAR in found["self_signing_keys"]) is self_signing


@pytest.mark.parametrize("answer", [None, [], "x", {}, {"device_keys": []}])
async def test_an_answer_without_keys_is_as_if_the_user_were_unknown(
    bob: Client, remote: Remote, answer: object
) -> None:
    remote.answers[PATH] = answer

    found = await query(bob, FAR)

    assert (found["device_keys"], found["failures"]) == ({}, {})


async def test_without_a_token_nobody_is_asked(one: Server, remote: Remote) -> None:
    body: Json = {"device_keys": {FAR: []}}
    response = await one.anonymous.post("/v3/keys/query", body)

    assert error_of(response) == (401, "M_MISSING_TOKEN")


# What other servers are told


async def test_another_server_is_told_the_devices_of_a_user(
    phone: Client, one: Server, remote: Remote
) -> None:
    assert (
        await phone.put("/v3/devices/PHONE", {"display_name": "Mine"})
    ).status == 200

    answer = await remote.ask(one, f"/v1/user/devices/{ALICE}")

    body = answer.json
    assert isinstance(body.pop("stream_id"), int)
    assert body == {
        "user_id": ALICE,
        "devices": [
            {
                "device_id": "PHONE",
                "device_display_name": "Mine",
                "keys": OF_ALICE.sign("self_signing", PHONE.keys()),
            }
        ],
        "master_key": {**OF_ALICE.public("master"), "signatures": {}},
        "self_signing_key": OF_ALICE.public("self_signing"),
    }


async def test_a_user_without_keys_has_an_empty_list(
    alice: Client, one: Server, remote: Remote
) -> None:
    body = (await remote.ask(one, f"/v1/user/devices/{ALICE}")).json

    assert body == {"user_id": ALICE, "stream_id": 0, "devices": []}


async def test_another_server_is_told_the_keys_that_it_asks_for(
    phone: Client, one: Server, remote: Remote
) -> None:
    """Those of our own users, and no user-signing key."""
    content = {"device_keys": {ALICE: ["PHONE", "GONE"], FAR: [], "@x:one.test": []}}

    answer = await remote.ask(
        one, "/v1/user/keys/query", method="POST", content=content
    )

    assert answer.json == {
        "device_keys": {ALICE: {"PHONE": OF_ALICE.sign("self_signing", PHONE.keys())}},
        "master_keys": {ALICE: {**OF_ALICE.public("master"), "signatures": {}}},
        "self_signing_keys": {ALICE: OF_ALICE.public("self_signing")},
    }


@pytest.mark.parametrize(
    ("user_id", "error"),
    [
        ("@nobody:one.test", (404, "M_NOT_FOUND")),
        (FAR, (404, "M_NOT_FOUND")),
        ("alice", (400, "M_INVALID_PARAM")),
    ],
)
async def test_devices_of_a_user_that_is_not_ours_are_not_told(
    one: Server, remote: Remote, user_id: str, error: tuple[int, str]
) -> None:
    assert error_of(await remote.ask(one, f"/v1/user/devices/{user_id}")) == error


@pytest.mark.parametrize(
    ("content", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"device_keys": {ALICE: {}}}, "M_BAD_JSON"),
        ({"device_keys": {"alice": []}}, "M_INVALID_PARAM"),
        ({"device_keys": {"@a\0b:one.test": []}}, "M_INVALID_PARAM"),
        ([], "M_BAD_JSON"),
    ],
)
async def test_a_malformed_query_of_a_server_is_refused(
    one: Server, remote: Remote, content: object, errcode: str
) -> None:
    answer = await remote.ask(
        one, "/v1/user/keys/query", method="POST", content=content
    )

    assert error_of(answer) == (400, errcode)
