"""CS uploadCrossSigningKeys: the three keys of a user, and replacing them."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.features.device_keys.server import (
    ALICE,
    BOB,
    KeysServer,
    cross_sign,
    publish,
    query,
    replace_keys,
    sign,
)
from tests.features.rooms import error_of
from tests.http_client import Client
from tests.server import Server
from tremula.features.device_lists.service import DeviceListChange
from tremula.features.uia.service import UiaRequired
from tremula.infra.http import Requester
from tremula.infra.locks import KeyedLocks
from tremula.protocol.device_keys import Usage
from tremula.protocol.errors import Forbidden
from tremula.protocol.identifiers import DeviceId, UserId

UPLOAD = "/v3/keys/device_signing/upload"
PHONE = CryptoDevice(ALICE, "PHONE")
FIRST = CrossSigningIdentity(ALICE)
SECOND = CrossSigningIdentity(ALICE, "2")
OF_BOB = CrossSigningIdentity(BOB)
CHANGED = (ALICE, DeviceListChange(signing_keys=True))

Json = dict[str, Any]


async def master_of_alice(client: Client) -> Json:
    found: Json = (await query(client, ALICE))["master_keys"].get(ALICE, {})
    return found


async def test_the_first_keys_need_no_authentication(
    alice: Client, keys: KeysServer
) -> None:
    response = await alice.post(UPLOAD, FIRST.upload())

    assert (response.status, response.json) == (200, {})
    assert keys.changes == [CHANGED]


async def test_the_same_keys_once_more_are_no_change(
    alice: Client, keys: KeysServer
) -> None:
    """ "in the case where the response is lost over the network" """
    await cross_sign(alice, FIRST)
    await cross_sign(alice, FIRST)
    again = await alice.post(UPLOAD, {"master_key": FIRST.public("master")})

    assert again.json == {}
    assert keys.changes == [CHANGED]


async def test_other_keys_need_authentication(
    alice: Client, bob: Client, keys: KeysServer
) -> None:
    await cross_sign(alice, FIRST)

    challenge = await alice.post(UPLOAD, SECOND.upload())
    assert challenge.status == 401
    assert challenge.json["flows"] == [{"stages": ["m.login.password"]}]
    assert (await master_of_alice(bob))["keys"] == FIRST.public("master")["keys"]

    assert (await replace_keys(alice, SECOND.upload())).json == {}
    found = await query(alice, ALICE)
    assert found["master_keys"][ALICE]["keys"] == SECOND.public("master")["keys"]
    assert found["self_signing_keys"][ALICE] == SECOND.public("self_signing")
    assert found["user_signing_keys"][ALICE] == SECOND.public("user_signing")
    assert keys.changes == [CHANGED, CHANGED]


async def test_a_challenge_is_met_for_the_same_keys_only(alice: Client) -> None:
    await cross_sign(alice, FIRST)
    session = (await alice.post(UPLOAD, SECOND.upload())).json["session"]
    third = CrossSigningIdentity(ALICE, "3").upload()

    response = await alice.post(
        UPLOAD,
        {
            **third,
            "auth": {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": "alice"},
                "password": "correct horse",
                "session": session,
            },
        },
    )

    assert error_of(response) == (401, "M_FORBIDDEN")
    assert (await master_of_alice(alice))["keys"] == FIRST.public("master")["keys"]


async def test_a_key_more_for_the_same_master_key_needs_authentication(
    alice: Client,
) -> None:
    await alice.post(UPLOAD, {"master_key": FIRST.public("master")})

    added = {"self_signing_key": FIRST.public("self_signing")}
    assert (await alice.post(UPLOAD, added)).status == 401
    whole = {**added, "master_key": FIRST.public("master")}
    assert (await alice.post(UPLOAD, whole)).status == 401
    assert (await replace_keys(alice, whole)).status == 200

    found = await query(alice, ALICE)
    assert found["self_signing_keys"] == {ALICE: FIRST.public("self_signing")}


async def test_a_new_master_key_drops_what_it_has_not_signed(
    alice: Client, bob: Client
) -> None:
    """A reset: neither the other keys nor old signatures outlive the master key."""
    await publish(alice, PHONE)
    await cross_sign(alice, FIRST)
    await cross_sign(bob, OF_BOB)
    device = FIRST.sign("self_signing", PHONE.keys())
    await sign(alice, ALICE, PHONE=device)
    by_alice = FIRST.sign("user_signing", OF_BOB.public("master"))
    assert await sign(alice, BOB, **{OF_BOB.name("master"): by_alice}) == {}

    assert (
        await replace_keys(alice, {"master_key": SECOND.public("master")})
    ).json == {}

    found = await query(alice, ALICE, BOB)
    assert ALICE not in found["self_signing_keys"]
    assert found["user_signing_keys"] == {}
    assert found["device_keys"][ALICE] == {"PHONE": PHONE.keys()}
    assert found["master_keys"][BOB]["signatures"] == {}


async def test_a_self_signing_key_is_replaced_alone(alice: Client) -> None:
    await publish(alice, PHONE)
    await cross_sign(alice, FIRST)
    await sign(alice, ALICE, PHONE=FIRST.sign("self_signing", PHONE.keys()))
    key = FIRST.sign("master", {**SECOND.public("self_signing"), "signatures": {}})

    body = {"master_key": FIRST.public("master"), "self_signing_key": key}
    assert (await replace_keys(alice, body)).json == {}

    found = await query(alice, ALICE)
    assert found["self_signing_keys"] == {ALICE: key}
    assert found["user_signing_keys"] == {ALICE: FIRST.public("user_signing")}
    assert found["device_keys"][ALICE] == {"PHONE": PHONE.keys()}


async def test_keys_that_a_new_master_key_signs_stay_with_what_they_signed(
    alice: Client,
) -> None:
    await publish(alice, PHONE)
    await cross_sign(alice, FIRST)
    device = FIRST.sign("self_signing", PHONE.keys())
    await sign(alice, ALICE, PHONE=device)
    kept = {**FIRST.public("self_signing"), "signatures": {}}
    kept = SECOND.sign("master", kept)

    body = {"master_key": SECOND.public("master"), "self_signing_key": kept}
    assert (await replace_keys(alice, body)).json == {}

    found = await query(alice, ALICE)
    assert found["self_signing_keys"] == {ALICE: kept}
    assert found["device_keys"] == {ALICE: {"PHONE": device}}


async def test_a_master_key_keeps_what_its_devices_have_signed(
    alice: Client, keys: KeysServer
) -> None:
    await publish(alice, PHONE)
    master = PHONE.sign(FIRST.sign("master", FIRST.public("master")))
    unknown = CryptoDevice(ALICE, "UNKNOWN").sign(OF_BOB.sign("master", master))

    response = await alice.post(UPLOAD, {"master_key": unknown})

    assert response.status == 200
    assert await master_of_alice(alice) == master
    await alice.post("/v3/logout", {})
    later = await keys.device("alice", "LATER")
    by_itself = FIRST.sign("master", FIRST.public("master"))
    assert await master_of_alice(later) == by_itself


def forged(value: Json) -> Json:
    """*value* with another signature by the same keys."""
    return {
        **value,
        "signatures": {
            user_id: dict.fromkeys(keys, "A" * 86)
            for user_id, keys in value["signatures"].items()
        },
    }


MASTER = FIRST.public("master")
SELF_SIGNING = FIRST.public("self_signing")
BY_OTHER = SECOND.public("self_signing")
AS_PHONE = {**MASTER, "keys": {"ed25519:PHONE": "PHONE"}}


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"self_signing_key": SELF_SIGNING}, "M_MISSING_PARAM"),
        ({"user_signing_key": FIRST.public("user_signing")}, "M_MISSING_PARAM"),
        ({"master_key": []}, "M_BAD_JSON"),
        ({"master_key": AS_PHONE}, "M_INVALID_PARAM"),
        ({"master_key": OF_BOB.public("master")}, "M_INVALID_PARAM"),
        ({"master_key": SELF_SIGNING}, "M_INVALID_PARAM"),
        (
            {"master_key": MASTER, "self_signing_key": forged(SELF_SIGNING)},
            "M_INVALID_SIGNATURE",
        ),
        (
            {"master_key": MASTER, "self_signing_key": BY_OTHER},
            "M_INVALID_SIGNATURE",
        ),
        (
            {
                "master_key": MASTER,
                "user_signing_key": {**FIRST.public("user_signing"), "signatures": {}},
            },
            "M_INVALID_SIGNATURE",
        ),
        ({"master_key": forged(FIRST.sign("master", MASTER))}, "M_INVALID_SIGNATURE"),
        ({"master_key": forged(PHONE.sign(MASTER))}, "M_INVALID_SIGNATURE"),
        (
            {
                "master_key": MASTER,
                "self_signing_key": FIRST.sign(
                    "master", {**MASTER, "usage": ["self_signing"]}
                ),
            },
            "M_INVALID_PARAM",
        ),
    ],
)
async def test_keys_that_are_wrong_are_refused(
    alice: Client, keys: KeysServer, body: Json, errcode: str
) -> None:
    await publish(alice, PHONE)
    keys.changes.clear()

    assert error_of(await alice.post(UPLOAD, body)) == (400, errcode)
    assert await master_of_alice(alice) == {}
    assert keys.changes == []


async def test_a_key_must_not_have_the_id_of_a_device(keys: KeysServer) -> None:
    name = FIRST.name("master")
    alice = await keys.user("alice", name)

    assert error_of(await alice.post(UPLOAD, FIRST.upload())) == (403, "M_FORBIDDEN")


async def test_a_device_with_the_id_of_a_key_publishes_nothing(
    alice: Client, keys: KeysServer
) -> None:
    """ "servers MUST not allow devices to have the same IDs as cross-signing keys" """
    await cross_sign(alice, FIRST)
    name = FIRST.name("self_signing")
    other = await keys.device("alice", name)

    body = {"device_keys": CryptoDevice(ALICE, name).keys()}
    response = await other.post("/v3/keys/upload", body)

    assert error_of(response) == (400, "M_INVALID_PARAM")
    assert (await query(alice, ALICE))["device_keys"] == {ALICE: {}}


async def test_of_first_keys_that_come_at_once_one_counts(alice: Client) -> None:
    """Whoever steals a token for a moment cannot slip in keys beside the user's."""
    identities = [CrossSigningIdentity(ALICE, str(number)) for number in range(5)]

    responses = await asyncio.gather(
        *(alice.post(UPLOAD, each.upload()) for each in identities)
    )

    assert sorted(each.status for each in responses) == [200, 401, 401, 401, 401]


async def test_of_first_keys_that_come_to_two_processes_one_counts(
    alice: Client, keys: KeysServer
) -> None:
    """The lock is of one process; the table decides among several."""
    requester = Requester(
        user_id=UserId(ALICE),
        device_id=DeviceId("PHONE"),
        is_guest=False,
        token_id=1,
        is_admin=False,
    )
    processes = [
        replace(keys.cross_signing, changing=KeyedLocks[UserId]()) for _ in range(2)
    ]

    results = await asyncio.gather(
        *(
            each.upload(requester, {Usage.MASTER: key.public("master")}, auth=None)
            for each, key in zip(processes, (FIRST, SECOND), strict=True)
        ),
        return_exceptions=True,
    )

    [refusal] = [each for each in results if each is not None]
    # The latter where one had been stored before the other looked.
    assert isinstance(refusal, Forbidden | UiaRequired)
    assert (await master_of_alice(alice))["usage"] == ["master"]


async def test_guests_have_no_cross_signing_keys(keys: KeysServer) -> None:
    answer = await keys.app.post("/v3/register?kind=guest", {})
    guest = Client(keys.app.app, answer.json["access_token"])

    response = await guest.post(UPLOAD, {})

    assert error_of(response) == (403, "M_GUEST_ACCESS_FORBIDDEN")


async def test_older_clients_upload_them_by_the_unstable_path(alice: Client) -> None:
    """As matrix-js-sdk does with libolm; it first asks for the flows with no keys."""
    response = await alice.post("/unstable/keys/device_signing/upload", FIRST.upload())

    assert (response.status, response.json) == (200, {})
    assert (await master_of_alice(alice))["keys"] == FIRST.public("master")["keys"]


async def test_element_web_is_told_of_cross_signing(server: Server) -> None:
    """Otherwise it makes a new account no keys for it, and verifies nobody."""
    versions = await server.anonymous.get("/_matrix/client/versions")

    assert versions.json["unstable_features"]["org.matrix.e2e_cross_signing"] is True
