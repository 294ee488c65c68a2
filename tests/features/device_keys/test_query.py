"""CS queryKeys: whose keys, and what of them, a user is told."""

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
)
from tests.features.rooms import error_of
from tests.http_client import Client
from tests.query_counter import counted
from tremula.features.device_keys.service import UserKeys
from tremula.protocol.canonical import encode_canonical
from tremula.protocol.identifiers import DeviceId, ServerName, UserId

QUERY = "/v3/keys/query"
PHONE = CryptoDevice(ALICE, "PHONE")
LAPTOP = CryptoDevice(ALICE, "LAPTOP")
FAR = UserId("@far:far.test")
FAR_SERVER = ServerName("far.test")


async def test_devices_come_with_their_names(keys: KeysServer, bob: Client) -> None:
    phone = await keys.user("alice", "PHONE", initial_device_display_name="My phone")
    await publish(phone, PHONE)
    await publish(await keys.device("alice", "LAPTOP"), LAPTOP)

    assert (await query(bob, ALICE))["device_keys"] == {
        ALICE: {
            "LAPTOP": LAPTOP.keys(),
            "PHONE": {
                **PHONE.keys(),
                "unsigned": {"device_display_name": "My phone"},
            },
        }
    }


async def test_another_name_is_told_at_once(
    keys: KeysServer, alice: Client, bob: Client
) -> None:
    await publish(alice, PHONE)
    await query(bob, ALICE)

    await alice.put("/v3/devices/PHONE", {"display_name": "Renamed"})

    phone = (await query(bob, ALICE))["device_keys"][ALICE]["PHONE"]
    assert phone["unsigned"] == {"device_display_name": "Renamed"}
    assert len(keys.changes) == 2


async def test_some_devices_are_asked_for_by_their_ids(
    keys: KeysServer, alice: Client, bob: Client
) -> None:
    await publish(alice, PHONE)
    await publish(await keys.device("alice", "LAPTOP"), LAPTOP)
    await keys.device("alice", "KEYLESS")

    wanted = {ALICE: ["LAPTOP", "KEYLESS", "GONE", "LAPTOP"]}
    answer = (await bob.post(QUERY, {"device_keys": wanted})).json

    assert answer["device_keys"] == {ALICE: {"LAPTOP": LAPTOP.keys()}}


async def test_users_without_keys_are_there_and_unknown_ones_are_missing(
    alice: Client, bob: Client
) -> None:
    """The specification says so; a client would ask again and again otherwise."""
    await alice.post("/v3/logout", {})

    found = await query(bob, ALICE, BOB, "@nobody:test")

    assert found["device_keys"] == {ALICE: {}, BOB: {}}
    assert found["failures"] == {}


async def test_only_its_owner_is_told_a_user_signing_key(
    alice: Client, bob: Client
) -> None:
    identity = CrossSigningIdentity(ALICE)
    await cross_sign(alice, identity)

    own, others = await query(alice, ALICE, BOB), await query(bob, ALICE, BOB)

    for found in (own, others):
        # The first master key may have no signature.
        assert found["master_keys"][ALICE] == {
            **identity.public("master"),
            "signatures": {},
        }
        assert found["self_signing_keys"] == {ALICE: identity.public("self_signing")}
    assert own["user_signing_keys"] == {ALICE: identity.public("user_signing")}
    assert others["user_signing_keys"] == {}


async def test_keys_of_other_servers_come_from_elsewhere(
    keys: KeysServer, alice: Client
) -> None:
    far, identity = CryptoDevice(FAR, "FAR"), CrossSigningIdentity(FAR)
    keys.remote.users[FAR] = UserKeys(
        {DeviceId("FAR"): encode_canonical(far.keys())},
        master=encode_canonical(identity.public("master")),
        self_signing=encode_canonical(identity.public("self_signing")),
    )
    down = {"errcode": "M_UNKNOWN", "error": "no answer"}
    keys.remote.failures[ServerName("down.test")] = down
    await publish(alice, PHONE)

    wanted: dict[str, list[str]] = {FAR: [], ALICE: [], "@x:down.test": []}
    body = {"device_keys": wanted, "timeout": 2500}
    found = (await alice.post(QUERY, body)).json

    assert found["device_keys"] == {
        ALICE: {"PHONE": PHONE.keys()},
        FAR: {"FAR": far.keys()},
    }
    assert found["master_keys"] == {FAR: identity.public("master")}
    assert found["self_signing_keys"] == {FAR: identity.public("self_signing")}
    assert found["failures"] == {"down.test": down}
    assert keys.remote.asked == [({FAR, UserId("@x:down.test")}, 2.5)]


async def test_nobody_else_is_asked_for_our_own_users(
    keys: KeysServer, alice: Client
) -> None:
    await query(alice, ALICE, BOB)

    assert keys.remote.asked == []


async def test_a_client_does_not_choose_to_wait_for_hours(
    keys: KeysServer, alice: Client
) -> None:
    body = {"device_keys": {FAR: []}, "timeout": 2**53 - 1}
    assert (await alice.post(QUERY, body)).status == 200

    [(_, timeout_s)] = keys.remote.asked
    assert timeout_s == 60


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"device_keys": []}, "M_BAD_JSON"),
        ({"device_keys": {ALICE: {"PHONE": {}}}}, "M_BAD_JSON"),
        ({"device_keys": {ALICE: [7]}}, "M_BAD_JSON"),
        ({"device_keys": {"alice": []}}, "M_INVALID_PARAM"),
        ({"device_keys": {}, "timeout": -1}, "M_BAD_JSON"),
        ({"device_keys": {}, "timeout": "1"}, "M_BAD_JSON"),
        ({"device_keys": {f"@{n}:t": [] for n in range(5001)}}, "M_BAD_JSON"),
    ],
)
async def test_a_malformed_query_is_refused(
    alice: Client, body: dict[str, Any], errcode: str
) -> None:
    assert error_of(await alice.post(QUERY, body)) == (400, errcode)


async def test_a_query_costs_the_same_for_any_number_of_users(
    keys: KeysServer, alice: Client
) -> None:
    users = [ALICE, *(f"@user{number}:test" for number in range(4))]
    for user_id in users[1:]:
        name = user_id[1:].partition(":")[0]
        client = await keys.user(name, "PHONE")
        await publish(client, CryptoDevice(user_id, "PHONE"))
        await cross_sign(client, CrossSigningIdentity(user_id))
    db = keys.accounts.database
    await query(alice)

    with counted(db) as cold:
        await query(alice, *users)
    with counted(db) as warm:
        found = await query(alice, *users)

    assert len(found["device_keys"]) == len(users)
    assert len(cold.reads) == 4
    # What Alice has signed of their master keys.
    assert len(warm.reads) == 1
    assert warm.units == []


async def test_a_signature_is_seen_by_whoever_may_see_it(
    keys: KeysServer, alice: Client, bob: Client
) -> None:
    """ "Users will not be able to see signatures made by other users' user-signing
    keys"; a device is shown with what its owner's self-signing key has signed.
    """
    identity, of_bob = CrossSigningIdentity(ALICE), CrossSigningIdentity(BOB)
    await publish(alice, PHONE)
    await cross_sign(alice, identity)
    await cross_sign(bob, of_bob)
    carol = await keys.user("carol", "TABLET")
    device = identity.sign("self_signing", PHONE.keys())
    by_phone = PHONE.sign(identity.public("master"))
    assert await sign(alice, ALICE, PHONE=device) == {}
    assert await sign(alice, ALICE, **{identity.name("master"): by_phone}) == {}
    by_bob = of_bob.sign("user_signing", identity.public("master"))
    assert await sign(bob, ALICE, **{identity.name("master"): by_bob}) == {}

    for client in (alice, carol):
        found = await query(client, ALICE)
        assert found["device_keys"] == {ALICE: {"PHONE": device}}
        assert found["master_keys"] == {ALICE: by_phone}
    seen_by_bob = (await query(bob, ALICE))["master_keys"][ALICE]["signatures"]
    assert seen_by_bob == {**by_phone["signatures"], **by_bob["signatures"]}
