"""Backups as clients make them."""

from typing import Any, Final

from tests.http_client import Client, HttpResponse

ALICE: Final = "@alice:test"
BOB: Final = "@bob:test"
ROOM: Final = "!room:test"
OTHER_ROOM: Final = "!other:test"

ALGORITHM: Final = "m.megolm_backup.v1.curve25519-aes-sha2"
AUTH_DATA: Final = {
    "public_key": "+GHxGJ4lU4MhbQjPQJLLFyZBnDQTZdPBPnUqgiZ7zFM",
    "signatures": {ALICE: {"ed25519:DEVICE": "c2lnbmF0dXJl"}},
}


def session(
    first_message_index: int = 1,
    forwarded_count: int = 1,
    *,
    is_verified: bool = False,
    ciphertext: str = "c2VjcmV0",
) -> dict[str, Any]:
    """The key of a session, as it is uploaded."""
    return {
        "first_message_index": first_message_index,
        "forwarded_count": forwarded_count,
        "is_verified": is_verified,
        "session_data": {
            "ephemeral": "ZXBoZW1lcmFs",
            "ciphertext": ciphertext,
            "mac": "bWFj",
        },
    }


def rooms(**sessions: dict[str, Any]) -> dict[str, Any]:
    """A body with sessions of `ROOM`."""
    return {"rooms": {ROOM: {"sessions": sessions}}}


async def new_backup(client: Client, **auth_data: object) -> str:
    """Begin a backup; its version."""
    created = await client.post(
        "/v3/room_keys/version",
        {"algorithm": ALGORITHM, "auth_data": AUTH_DATA | auth_data},
    )
    assert created.status == 200, created
    version: str = created.json["version"]
    return version


async def put_keys(client: Client, version: str, body: object) -> HttpResponse:
    """Upload keys of any rooms."""
    return await client.put("/v3/room_keys/keys", body, query={"version": version})


async def keys(client: Client, version: str) -> Any:  # noqa: ANN401 - JSON
    """All rooms of a backup."""
    answer = await client.get("/v3/room_keys/keys", query={"version": version})
    assert answer.status == 200, answer
    return answer.json["rooms"]
