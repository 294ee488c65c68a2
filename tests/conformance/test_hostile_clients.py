"""What broke other homeservers, as far as it takes many operations to try.

What one operation can show is tested with its feature: grep for the CVE's number.
"""

from typing import Final
from urllib.parse import quote

import orjson
import pytest

from tests.conformance.attacker import Attacker, check_refusal
from tests.conformance.operations import Operation, done_operations
from tests.conformance.write_watch import stored_here
from tests.features.rooms import create_room, error_of, guest, join, member, send
from tests.features.rooms import set_state as put_state
from tests.http_client import Client

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

AUTHENTICATED_TWICE: Final = [
    each
    for each in done_operations()
    if each.operation_id
    in {"changePassword", "deactivateAccount", "deleteDevice", "deleteDevices"}
]
READING: Final = [each for each in done_operations() if each.method == "GET"]
WITH_LEFT_ROOMS: Final = '{"room":{"include_leave":true}}'
OUTSIDERS: Final = ("stranger", "guest", "nobody", "former member", "banned")


@pytest.mark.parametrize(
    "operation", AUTHENTICATED_TWICE, ids=lambda operation: operation.operation_id
)
@pytest.mark.parametrize(
    "auth",
    [
        {},
        {"a": 1},
        {"type": "m.login.dummy"},
        {"type": "m.login.token", "token": "x"},
        {"type": "m.login.password", "session": "x"},
        {"session": "x"},
        {"completed": ["m.login.password"]},
    ],
)
async def test_no_object_is_proof_by_itself(
    attacker: Attacker, operation: Operation, auth: object
) -> None:
    world = attacker.world
    body = world.body(operation) | {"auth": auth}

    response = await attacker.send(
        operation, world.path(operation), orjson.dumps(body), auth
    )

    assert response.status in {400, 401}


@pytest.mark.parametrize(
    "operation", AUTHENTICATED_TWICE, ids=lambda operation: operation.operation_id
)
async def test_proof_for_one_operation_is_none_for_another(
    attacker: Attacker, operation: Operation
) -> None:
    world = attacker.world
    for other in AUTHENTICATED_TWICE:
        if other == operation:
            continue
        body = world.body(other) | {"auth": {}}
        challenge = await attacker.send(
            other, world.path(other), orjson.dumps(body), "challenge"
        )
        auth = world.password_auth | {"session": challenge.json["session"]}
        body = world.body(operation) | {"auth": auth}

        response = await attacker.send(
            operation, world.path(operation), orjson.dumps(body), other.operation_id
        )

        assert response.status == 401


@pytest.mark.parametrize("outsider", OUTSIDERS)
async def test_cve_2021_39163_a_private_room_tells_outsiders_nothing(
    attacker: Attacker, outsider: str
) -> None:
    """Nor do its name, topic and members leak by another way (CVE-2021-39164).

    A former member sees what was there while they were.
    """
    world = attacker.world
    room_id = await create_room(
        world.alice, preset="private_chat", invite=["@bob:test", "@carol:test"]
    )
    await join(world.bob, room_id)
    await join(world.carol, room_id)
    await member(world.alice, room_id, "ban", "@bob:test")
    await world.carol.post(f"/v3/rooms/{room_id}/leave", {})
    event_id = await fill(world.alice, room_id)
    client = {
        "stranger": attacker.server.client("@stranger:test"),
        "guest": await guest(attacker.server),
        "nobody": attacker.server.anonymous,
        "former member": world.carol,
        "banned": world.bob,
    }[outsider]

    for operation in READING:
        path = world.path(
            operation,
            roomId=quote(room_id),
            roomIdOrAlias=quote(room_id),
            eventId=quote(event_id),
        )
        response = await client.get(path, query=world.query(operation))

        check_refusal(response, operation)
        assert b"Secret" not in response.body, (operation, response.body)
    search = {"filter": {"generic_search_term": "Secret"}}
    found = await client.post("/v3/publicRooms", search)
    assert b"Secret" not in found.body
    left = await client.get(f"/v3/sync?filter={quote(WITH_LEFT_ROOMS)}")
    assert b"Secret" not in left.body
    insider = await world.alice.get(f"/v3/rooms/{room_id}/state")
    assert insider.body.count(b"Secret") == 5


async def fill(client: Client, room_id: str) -> str:
    """Give a room secrets of every kind; the event ID of a message."""
    for event_type, content in {
        "m.room.name": {"name": "Secret name"},
        "m.room.topic": {"topic": "Secret topic"},
        "m.room.avatar": {"url": "mxc://test/Secret"},
        "org.example.other": {"what": "Secret state"},
    }.items():
        assert (await put_state(client, room_id, event_type, content)).status == 200
    whoami = await client.get("/v3/account/whoami")
    own = {"membership": "join", "displayname": "Secret member"}
    user_id: str = whoami.json["user_id"]
    assert (
        await put_state(client, room_id, "m.room.member", own, user_id)
    ).status == 200
    return await send(client, room_id, "Secret message")


async def test_who_was_removed_neither_types_nor_reads_nor_sees_it(
    attacker: Attacker,
) -> None:
    world = attacker.world
    room_id = await create_room(world.alice, preset="public_chat")
    await join(world.bob, room_id)
    room, event_id = f"/v3/rooms/{room_id}", await send(world.alice, room_id)
    typing, receipt = {"typing": True, "timeout": 30_000}, f"receipt/m.read/{event_id}"
    assert (await world.bob.put(f"{room}/typing/@bob:test", typing)).status == 200
    await member(world.alice, room_id, "kick", "@bob:test")
    alice_since, bob_since = await token_of(world.alice), await token_of(world.bob)

    with stored_here() as stored:
        refused = [
            await world.bob.put(f"{room}/typing/@bob:test", typing),
            await world.bob.post(f"{room}/{receipt}", {}),
            await world.bob.post(f"{room}/read_markers", {"m.read": event_id}),
        ]
    await world.alice.put(f"{room}/typing/{world.user_id}", typing)
    await world.alice.post(f"{room}/{receipt}", {})

    assert [error_of(each) for each in refused] == [(403, "M_FORBIDDEN")] * 3
    assert stored == []
    seen = (await world.bob.get(f"/v3/sync?since={bob_since}")).body
    assert b"m.typing" not in seen
    assert b"m.receipt" not in seen
    joined = (await world.alice.get(f"/v3/sync?since={alice_since}")).json["rooms"]
    assert b"@bob:test" not in orjson.dumps(joined["join"][room_id])


async def token_of(client: Client) -> str:
    """Where a client is now."""
    token: str = (await client.get("/v3/sync")).json["next_batch"]
    return token
