"""What is left of the keys of devices that are gone: nothing."""

import pytest

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.features.accounts import PASSWORD
from tests.features.device_keys.server import (
    ALICE,
    KeysServer,
    cross_sign,
    publish,
    query,
    sign,
)
from tests.http_client import Client
from tests.server import Server
from tremula.features.device_keys.storage import Signature, upsert_signatures
from tremula.features.device_lists.service import DeviceListChange
from tremula.protocol.identifiers import DeviceId

PHONE = CryptoDevice(ALICE, "PHONE")
LAPTOP = CryptoDevice(ALICE, "LAPTOP")
IDENTITY = CrossSigningIdentity(ALICE)
MASTER = IDENTITY.name("master")


@pytest.fixture
async def laptop(alice: Client, keys: KeysServer) -> Client:
    """A second device of Alice; both have keys, signed by one another's."""
    laptop = await keys.device("alice", "LAPTOP")
    await publish(alice, PHONE)
    await publish(laptop, LAPTOP)
    await cross_sign(alice, IDENTITY)
    signed = {
        "LAPTOP": IDENTITY.sign("self_signing", LAPTOP.keys()),
        MASTER: LAPTOP.sign(IDENTITY.public("master")),
    }
    assert await sign(alice, ALICE, **signed) == {}
    return laptop


async def test_a_logout_takes_the_keys_and_their_signatures(
    laptop: Client, alice: Client, bob: Client, keys: KeysServer
) -> None:
    await query(bob, ALICE)

    await laptop.post("/v3/logout", {})

    found = await query(bob, ALICE)
    assert found["device_keys"] == {ALICE: {"PHONE": PHONE.keys()}}
    assert found["master_keys"][ALICE]["signatures"] == {}
    assert keys.changes[-1] == (ALICE, DeviceListChange((DeviceId("LAPTOP"),)))


async def test_a_device_that_comes_back_has_no_keys(
    laptop: Client, bob: Client, keys: KeysServer
) -> None:
    await laptop.post("/v3/logout", {})

    again = await keys.device("alice", "LAPTOP")

    assert "LAPTOP" not in (await query(bob, ALICE))["device_keys"][ALICE]
    await publish(again, LAPTOP)
    found = await query(bob, ALICE)
    assert found["device_keys"][ALICE]["LAPTOP"] == LAPTOP.keys()


async def test_a_signature_that_came_with_the_deletion_is_not_the_next_devices(
    laptop: Client, alice: Client, keys: KeysServer
) -> None:
    """Nothing but their order keeps apart what two processes do to one user."""
    await laptop.post("/v3/logout", {})
    journal = keys.accounts.journal
    unit = journal.unit()
    late = Signature(ALICE, ALICE, "LAPTOP", IDENTITY.name("self_signing"), "A" * 86)
    upsert_signatures(unit, [late], pos=unit.pos())
    await journal.commit(unit)

    await publish(await keys.device("alice", "LAPTOP"), LAPTOP)

    found = await query(alice, ALICE)
    assert found["device_keys"][ALICE]["LAPTOP"] == LAPTOP.keys()


async def test_a_login_to_the_same_device_keeps_its_keys(
    laptop: Client, bob: Client, keys: KeysServer
) -> None:
    before = await query(bob, ALICE)

    await keys.device("alice", "LAPTOP")

    assert await query(bob, ALICE) == before


async def test_a_logout_everywhere_leaves_cross_signing_keys_only(
    laptop: Client, alice: Client, bob: Client, keys: KeysServer
) -> None:
    await alice.post("/v3/logout/all", {})

    found = await query(bob, ALICE)
    assert found["device_keys"] == {ALICE: {}}
    assert found["master_keys"][ALICE] == {
        **IDENTITY.public("master"),
        "signatures": {},
    }
    both = DeviceListChange((DeviceId("LAPTOP"), DeviceId("PHONE")))
    assert keys.changes[-1] == (ALICE, both)


async def test_a_new_password_leaves_the_device_that_it_came_from(
    laptop: Client, alice: Client, bob: Client, keys: KeysServer
) -> None:
    response = await alice.post(
        "/v3/account/password",
        {
            "new_password": "another horse",
            "auth": {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": "alice"},
                "password": PASSWORD,
            },
        },
    )

    assert response.status == 200
    assert (await query(bob, ALICE))["device_keys"] == {ALICE: {"PHONE": PHONE.keys()}}
    assert keys.changes[-1] == (ALICE, DeviceListChange((DeviceId("LAPTOP"),)))


@pytest.mark.parametrize("erase", [False, True])
async def test_whoever_is_erased_leaves_no_keys(server: Server, *, erase: bool) -> None:
    """A deactivated user's keys stay: others may want to know who it was."""
    alice, bob = server.client(ALICE), server.client("@bob:test")
    await cross_sign(alice, IDENTITY)
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": PASSWORD,
    }

    body = {"erase": erase, "auth": auth}
    assert (await alice.post("/v3/account/deactivate", body)).status == 200

    found = await query(bob, ALICE)
    assert found["device_keys"] == {ALICE: {}}
    assert list(found["master_keys"]) == ([] if erase else [ALICE])
