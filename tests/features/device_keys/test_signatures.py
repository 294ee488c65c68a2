"""CS uploadCrossSigningSignatures: every signature is verified."""

from typing import Any

import pytest

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.features.device_keys.server import (
    ALICE,
    BOB,
    KeysServer,
    cross_sign,
    publish,
    query,
    sign,
    sign_all,
)
from tests.features.rooms import error_of
from tests.http_client import Client
from tremula.features.device_keys.service import UserKeys
from tremula.features.device_lists.service import DeviceListChange
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.identifiers import DeviceId, UserId

UPLOAD = "/v3/keys/signatures/upload"
PHONE = CryptoDevice(ALICE, "PHONE")
OF_ALICE = CrossSigningIdentity(ALICE)
OF_BOB = CrossSigningIdentity(BOB)
FAR = UserId("@far:far.test")
OF_FAR = CrossSigningIdentity(FAR)
MASTER = OF_ALICE.name("master")
MASTER_OF_BOB = OF_BOB.name("master")

Json = dict[str, Any]


@pytest.fixture
async def alice(keys: KeysServer) -> Client:
    """A user with a device and cross-signing keys, nothing of it signed."""
    client = await keys.user("alice", "PHONE")
    await publish(client, PHONE)
    await cross_sign(client, OF_ALICE)
    return client


@pytest.fixture
async def bob(keys: KeysServer) -> Client:
    """Another one, with a device that has published nothing."""
    client = await keys.user("bob", "DESK")
    await cross_sign(client, OF_BOB)
    return client


def codes(failures: Json) -> dict[tuple[str, str], str]:
    """The error codes of an answer, by user and key."""
    return {
        (user_id, name): error["errcode"]
        for user_id, errors in failures.items()
        for name, error in errors.items()
    }


def forged(value: Json, signer: CryptoDevice | CrossSigningIdentity) -> Json:
    """*value* with wrong signatures in the place of those of *signer*."""
    names = value["signatures"][signer.user_id]
    return {**value, "signatures": {signer.user_id: dict.fromkeys(names, "A" * 86)}}


async def test_ones_own_device_is_signed(alice: Client, keys: KeysServer) -> None:
    signed = OF_ALICE.sign("self_signing", PHONE.unsigned_keys())

    assert await sign(alice, ALICE, PHONE=signed) == {}

    assert (await query(alice, ALICE))["device_keys"][ALICE]["PHONE"] == (
        OF_ALICE.sign("self_signing", PHONE.keys())
    )
    assert keys.changes[-1] == (ALICE, DeviceListChange((DeviceId("PHONE"),)))


async def test_ones_own_master_key_is_signed_by_a_device(
    alice: Client, keys: KeysServer
) -> None:
    signed = PHONE.sign(OF_ALICE.public("master"))

    assert await sign(alice, ALICE, **{MASTER: signed}) == {}

    assert (await query(alice, ALICE))["master_keys"] == {ALICE: signed}
    assert keys.changes[-1] == (ALICE, DeviceListChange(signing_keys=True))


async def test_a_signature_of_another_user_changes_nothing_but_for_the_signer(
    alice: Client, bob: Client, keys: KeysServer
) -> None:
    """Others must not learn of it; the signer's other devices must."""
    changes, pos = len(keys.changes), keys.accounts.journal.position
    signed = OF_ALICE.sign("user_signing", OF_BOB.public("master"))

    assert await sign(alice, BOB, **{MASTER_OF_BOB: signed}) == {}

    assert (await query(alice, BOB))["master_keys"] == {BOB: signed}
    assert (await query(bob, BOB))["master_keys"][BOB]["signatures"] == {}
    assert len(keys.changes) == changes
    assert await keys.signatures.signed_after(ALICE, pos) == {BOB}
    newest = keys.accounts.journal.position
    assert not await keys.signatures.signed_after(ALICE, newest)
    assert not await keys.signatures.signed_after(BOB, pos)
    assert keys.accounts.journal.was_woken(ALICE, pos)
    assert not keys.accounts.journal.was_woken(BOB, pos)


async def test_the_master_key_of_another_servers_user_is_signed(
    alice: Client, keys: KeysServer
) -> None:
    master = OF_FAR.public("master")
    keys.remote.users[FAR] = UserKeys({}, master=encode_canonical(master))
    signed = OF_ALICE.sign("user_signing", master)

    assert await sign(alice, FAR, **{OF_FAR.name("master"): signed}) == {}

    assert (await query(alice, FAR))["master_keys"] == {FAR: signed}


DEVICE = PHONE.unsigned_keys()
GOOD_DEVICE = OF_ALICE.sign("self_signing", DEVICE)
KEY = OF_ALICE.public("master")
KEY_OF_BOB = OF_BOB.public("master")
STRANGER = CrossSigningIdentity(ALICE, "stranger")


@pytest.mark.parametrize(
    ("user_id", "name", "signed", "errcode"),
    [
        (ALICE, "PHONE", forged(GOOD_DEVICE, OF_ALICE), "M_INVALID_SIGNATURE"),
        (ALICE, "PHONE", DEVICE, "M_INVALID_SIGNATURE"),
        (ALICE, "PHONE", PHONE.keys(), "M_INVALID_SIGNATURE"),
        (ALICE, "PHONE", OF_ALICE.sign("master", DEVICE), "M_INVALID_SIGNATURE"),
        (ALICE, "PHONE", OF_ALICE.sign("user_signing", DEVICE), "M_INVALID_SIGNATURE"),
        (ALICE, "PHONE", STRANGER.sign("self_signing", DEVICE), "M_INVALID_SIGNATURE"),
        (ALICE, "PHONE", OF_BOB.sign("self_signing", DEVICE), "M_INVALID_SIGNATURE"),
        (ALICE, "PHONE", {**GOOD_DEVICE, "algorithms": []}, "M_INVALID_PARAM"),
        (ALICE, "PHONE", [], "M_INVALID_PARAM"),
        (ALICE, "PHONE", {"signatures": 7}, "M_INVALID_PARAM"),
        (ALICE, "PHONE", {**DEVICE, "signatures": 7}, "M_INVALID_SIGNATURE"),
        (ALICE, "PHONE", {**DEVICE, "signatures": {ALICE: 7}}, "M_INVALID_SIGNATURE"),
        (ALICE, "GONE", GOOD_DEVICE, "M_NOT_FOUND"),
        (ALICE, MASTER, forged(PHONE.sign(KEY), PHONE), "M_INVALID_SIGNATURE"),
        (ALICE, MASTER, OF_ALICE.sign("self_signing", KEY), "M_INVALID_SIGNATURE"),
        (
            ALICE,
            OF_ALICE.name("self_signing"),
            PHONE.sign(OF_ALICE.public("self_signing")),
            "M_NOT_FOUND",
        ),
        (
            BOB,
            MASTER_OF_BOB,
            forged(OF_ALICE.sign("user_signing", KEY_OF_BOB), OF_ALICE),
            "M_INVALID_SIGNATURE",
        ),
        (
            BOB,
            MASTER_OF_BOB,
            OF_ALICE.sign("master", KEY_OF_BOB),
            "M_INVALID_SIGNATURE",
        ),
        (BOB, MASTER_OF_BOB, PHONE.sign(KEY_OF_BOB), "M_INVALID_SIGNATURE"),
        (
            BOB,
            OF_BOB.name("self_signing"),
            OF_ALICE.sign("user_signing", OF_BOB.public("self_signing")),
            "M_NOT_FOUND",
        ),
        ("@nobody:test", "x", OF_ALICE.sign("user_signing", {}), "M_NOT_FOUND"),
        (FAR, "x", OF_ALICE.sign("user_signing", {}), "M_NOT_FOUND"),
    ],
)
async def test_a_signature_that_is_wrong_is_refused(
    alice: Client,
    bob: Client,
    keys: KeysServer,
    user_id: str,
    name: str,
    signed: object,
    errcode: str,
) -> None:
    """HOSTILE: signatures/upload with forged signatures."""
    before, changes = await query(alice, ALICE, BOB), len(keys.changes)

    failures = await sign_all(alice, {user_id: {name: signed}})

    assert codes(failures) == {(user_id, name): errcode}
    assert await query(alice, ALICE, BOB) == before
    assert len(keys.changes) == changes


async def test_one_bad_signature_costs_the_others_nothing(
    alice: Client, bob: Client
) -> None:
    failures = await sign_all(
        alice,
        {
            ALICE: {"PHONE": GOOD_DEVICE, MASTER: forged(PHONE.sign(KEY), PHONE)},
            BOB: {MASTER_OF_BOB: OF_ALICE.sign("user_signing", KEY_OF_BOB)},
        },
    )

    assert codes(failures) == {(ALICE, MASTER): "M_INVALID_SIGNATURE"}
    found = await query(alice, ALICE, BOB)
    assert len(found["device_keys"][ALICE]["PHONE"]["signatures"][ALICE]) == 2
    assert ALICE in found["master_keys"][BOB]["signatures"]


async def test_whoever_has_no_keys_signs_nothing(keys: KeysServer, bob: Client) -> None:
    carol = await keys.user("carol", "TABLET")
    of_carol = CrossSigningIdentity("@carol:test")

    failures = await sign_all(
        carol,
        {BOB: {MASTER_OF_BOB: of_carol.sign("user_signing", KEY_OF_BOB)}},
    )

    assert codes(failures) == {(BOB, MASTER_OF_BOB): "M_NOT_FOUND"}


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ([], "M_BAD_JSON"),
        ({ALICE: []}, "M_BAD_JSON"),
        ({"alice": {}}, "M_INVALID_PARAM"),
        ({ALICE: {f"D{number}": {} for number in range(501)}}, "M_INVALID_PARAM"),
    ],
)
async def test_a_malformed_upload_is_refused(
    alice: Client, body: object, errcode: str
) -> None:
    assert error_of(await alice.post(UPLOAD, body)) == (400, errcode)
