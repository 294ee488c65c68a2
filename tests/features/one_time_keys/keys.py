"""Keys as devices upload them, and their way through the server."""

from typing import Any

import orjson

from tests.http_client import Client
from tests.server import Server
from tremula.app import Tremula
from tremula.features.one_time_keys.service import KeyUpload, OneTimeKeys
from tremula.infra.rereading import reread_on_conflict
from tremula.protocol.base64 import encode_base64
from tremula.protocol.identifiers import DeviceId, UserId

ALICE = UserId("@alice:test")
BOB = UserId("@bob:test")
DEVICE = DeviceId("PHONE")
SIGNED = "signed_curve25519"


def signed_key(
    number: int, *, user_id: str = ALICE, device_id: str = DEVICE, **more: object
) -> dict[str, Any]:
    """A key with the bytes of *number*; its signature is one in form only."""
    return {
        "key": encode_base64(number.to_bytes(32, "big")),
        "signatures": {user_id: {f"ed25519:{device_id}": "c2ln"}},
        **more,
    }


def signed_keys(*numbers: int) -> dict[str, Any]:
    """Keys of Alice's phone by their names."""
    return {f"{SIGNED}:{number:04}": signed_key(number) for number in numbers}


def service_of(app: Tremula) -> OneTimeKeys:
    """The service over the server's database, as another feature is given it."""
    return OneTimeKeys(app.database, app.journal)


async def add(
    keys: OneTimeKeys,
    user_id: UserId,
    device_id: DeviceId,
    one_time_keys: dict[str, Any],
    fallback_keys: dict[str, Any],
) -> None:
    """Have keys of a device added that has not published any others."""
    upload = KeyUpload(
        user_id,
        device_id,
        orjson.dumps(one_time_keys),
        orjson.dumps(fallback_keys),
        None,
    )

    async def attempt() -> None:
        planned = await keys.plan(upload)
        unit = keys.journal.unit()
        keys.add(unit, planned)
        if unit.statements:
            await keys.journal.commit(unit)

    await reread_on_conflict(attempt)


async def upload(server: Server, *numbers: int) -> None:
    """Alice's phone, which is logged in, uploads keys."""
    await add(service_of(server.app), ALICE, DEVICE, signed_keys(*numbers), {})


async def upload_fallback(server: Server, number: int) -> None:
    key = {f"{SIGNED}:f{number}": signed_key(number, fallback=True)}
    await add(service_of(server.app), ALICE, DEVICE, {}, key)


async def claim(
    client: Client, user_id: str = ALICE, device_id: str = DEVICE, **more: object
) -> dict[str, Any]:
    """Claim a key of a device: it by its name, or nothing."""
    wanted = {user_id: {device_id: SIGNED}}
    answer = await client.post("/v3/keys/claim", {"one_time_keys": wanted, **more})
    assert answer.status == 200, answer.body
    assert answer.json["failures"] == {}
    users = answer.json["one_time_keys"]
    keys: dict[str, Any] = users.get(user_id, {}).get(device_id, {})
    return keys


async def status(client: Client) -> tuple[dict[str, int], list[str]]:
    """What `/sync` tells a device of its keys."""
    answer = (await client.get("/v3/sync")).json
    return (
        answer["device_one_time_keys_count"],
        answer["device_unused_fallback_key_types"],
    )
