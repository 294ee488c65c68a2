"""Accounts, devices, tokens and keys: asked of two processes at the same time."""

import asyncio
import hmac
from collections.abc import Sequence

import orjson

from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.fakes.processes import Process, rest
from tests.features.accounts import PASSWORD, AccountsServer
from tests.features.device_keys.server import KeysServer, query, start_keys
from tests.http_client import Client, HttpResponse
from tremula.features.one_time_keys.service import KeyClaim, KeyUpload, OneTimeKeys
from tremula.infra.journal import JournalUnit
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.base64 import encode_base64
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.protocol.one_time_keys import NO_KEYS

Both = tuple[AccountsServer, AccountsServer]
Processes = tuple[Process, Process]

ALICE = UserId("@alice:test")
PHONE = CryptoDevice(ALICE, "PHONE")
_ROUNDS = 5


def _statuses(responses: Sequence[HttpResponse]) -> list[int]:
    return sorted(each.status for each in responses)


async def _whoami(server: AccountsServer, token: str) -> int:
    return (await server.with_token(token).get("/v3/account/whoami")).status


async def test_a_username_is_taken_once(accounts: Both) -> None:
    for number in range(_ROUNDS):
        body = {
            "username": f"user{number}",
            "password": PASSWORD,
            "auth": {"type": "m.login.dummy"},
        }
        responses = await asyncio.gather(
            *(each.client.post("/v3/register", body) for each in accounts)
        )

        assert _statuses(responses) == [200, 400]
        errcodes = {each.json.get("errcode") for each in responses}
        assert errcodes == {None, "M_USER_IN_USE"}


async def test_a_token_is_good_everywhere_until_it_is_revoked_anywhere(
    accounts: Both, processes: Processes
) -> None:
    one, other = accounts
    token = (await one.register("alice"))["access_token"]
    assert await _whoami(one, token) == await _whoami(other, token) == 200

    assert (await one.with_token(token).post("/v3/logout")).status == 200

    # As each request does.
    await processes[1].journal.settled()
    assert await _whoami(other, token) == 401


async def test_a_token_that_was_revoked_unheard_is_not_known(
    accounts: Both, processes: Processes
) -> None:
    one, other = accounts
    token = (await one.register("alice"))["access_token"]
    assert await _whoami(other, token) == 200
    await one.database.commit(_revoked(one))

    other.journal.forget(other.journal.position)

    assert await _whoami(other, token) == 401


def _revoked(server: AccountsServer) -> JournalUnit:
    unit = server.journal.unit()
    server.sessions.revoke_user(unit, ALICE)
    return unit


async def test_of_two_refreshes_at_once_one_counts(accounts: Both) -> None:
    answer = await accounts[0].register("alice", refresh_token=True)
    for _ in range(_ROUNDS):
        body = {"refresh_token": answer["refresh_token"]}
        responses = await asyncio.gather(
            *(each.client.post("/v3/refresh", body) for each in accounts)
        )
        tokens = [each.json["access_token"] for each in responses]

        known = [await _whoami(accounts[0], token) for token in tokens]

        assert sorted(known) == [200, 401]
        answer = responses[known.index(200)].json


async def test_a_session_of_uia_is_gone_on_with_elsewhere_and_used_once(
    accounts: Both, processes: Processes
) -> None:
    one, other = accounts
    token = (await one.register("alice", device_id="PHONE"))["access_token"]
    await other.log_in("alice", device_id="TABLET")
    path, body = "/v3/delete_devices", {"devices": ["TABLET"]}
    challenge = await one.with_token(token).post(path, body)
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": PASSWORD,
        "session": challenge.json["session"],
    }
    await rest(*processes)

    responses = await asyncio.gather(
        *(
            each.with_token(token).post(path, {**body, "auth": auth})
            for each in accounts
        )
    )

    assert _statuses(responses) == [200, 401]


async def test_a_nonce_is_good_for_one_registration_anywhere(accounts: Both) -> None:
    path = "/_synapse/admin/v1/register"
    nonce = (await accounts[0].client.get(path)).json["nonce"]

    def body(username: str) -> dict[str, object]:
        text = "\0".join([nonce, username, PASSWORD, "notadmin"])
        mac = hmac.new(b"sesame", text.encode(), "sha1").hexdigest()
        return {
            "nonce": nonce,
            "username": username,
            "password": PASSWORD,
            "mac": mac,
        }

    responses = await asyncio.gather(
        accounts[0].client.post(path, body("alice")),
        accounts[1].client.post(path, body("bob")),
    )

    assert _statuses(responses) == [200, 400]


async def _phone(accounts: Both) -> tuple[list[KeysServer], list[Client]]:
    """Alice's phone, at each process."""
    servers = [start_keys(each) for each in accounts]
    token = (await accounts[0].register("alice", device_id="PHONE"))["access_token"]
    return servers, [Client(each.app.app, token) for each in servers]


async def test_of_two_first_identities_one_is_taken(accounts: Both) -> None:
    """The other would replace it, for which it has to know the password."""
    _, clients = await _phone(accounts)
    path = "/v3/keys/device_signing/upload"
    identities = [CrossSigningIdentity(ALICE, f"{each}") for each in range(2)]

    responses = await asyncio.gather(
        *(
            client.post(path, identity.upload())
            for client, identity in zip(clients, identities, strict=True)
        )
    )

    assert _statuses(responses) == [200, 401]
    taken = identities[[each.status for each in responses].index(200)]
    again = await asyncio.gather(
        *(client.post(path, taken.upload()) for client in clients)
    )
    assert _statuses(again) == [200, 200]


async def test_keys_and_their_signature_are_uploaded_at_once(
    accounts: Both, processes: Processes
) -> None:
    """Whichever comes first: what is shown is signed, or is signed in time."""
    _, (one, other) = await _phone(accounts)
    identity = CrossSigningIdentity(ALICE)
    path = "/v3/keys/device_signing/upload"
    assert (await one.post(path, identity.upload())).status == 200
    await rest(*processes)

    for number in range(_ROUNDS):
        device = CryptoDevice(ALICE, "PHONE", f"{number}")
        signed = identity.sign("self_signing", device.keys())
        keys = await asyncio.gather(
            one.post("/v3/keys/upload", {"device_keys": device.keys()}),
            other.post("/v3/keys/upload", {"device_keys": signed}),
        )

        assert _statuses(keys) == [200, 200]
        await rest(*processes)
        shown = [await query(client, ALICE) for client in (one, other)]
        assert shown[0] == shown[1]
        made = shown[0]["device_keys"][ALICE]["PHONE"]["signatures"][ALICE]
        assert len(made) == 2


async def test_a_key_is_claimed_once(accounts: Both, processes: Processes) -> None:
    await accounts[0].register("alice", device_id="PHONE")
    one, other = (OneTimeKeys(each.database, each.journal) for each in processes)
    phone = DeviceId("PHONE")
    uploaded = {
        f"signed_curve25519:{n}": PHONE.sign({"key": encode_base64(bytes([n]) * 32)})
        for n in range(20)
    }
    upload = KeyUpload(ALICE, phone, orjson.dumps(uploaded), NO_KEYS, None)
    await asyncio.gather(*(_add(each, upload) for each in (one, other)))
    claim = KeyClaim(ALICE, phone, "signed_curve25519")

    claimed = await asyncio.gather(
        *(each.claim([claim]) for _ in range(10) for each in (one, other))
    )

    names = [name for each in claimed for name in each[ALICE][phone]]
    assert sorted(names) == sorted(uploaded)
    assert await one.counts(ALICE, phone) == {}


async def _add(keys: OneTimeKeys, upload: KeyUpload) -> None:
    async def attempt() -> None:
        planned = await keys.plan(upload)
        unit = keys.journal.unit()
        keys.add(unit, planned)
        await keys.journal.commit(unit)

    await reread_on_conflict(attempt)
