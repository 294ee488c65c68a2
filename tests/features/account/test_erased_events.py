"""What others see of a user who was erased (CS deactivateAccount), over HTTP."""

from typing import Any, Final

import pytest

from tests.conftest import DatabaseSource
from tests.features.rooms import (
    create_room,
    guest,
    join,
    member,
    send,
    set_state,
    state,
)
from tests.features.sync.syncing import room_of, sync
from tests.http_client import Client
from tests.server import PASSWORD, Server, UserClient, config_for, running_server

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"

# The paths on which events are read, and where in the answers they stand.
_PATHS: Final = {
    "messages?dir=b": ["chunk"],
    "messages?dir=f&limit=50": ["chunk"],
    "context/{other_id}": ["events_before"],
    "context/{event_id}": ["event"],
    "event/{event_id}": [],
    "initialSync": ["messages", "chunk"],
}
_SYNCS: Final[dict[str, dict[str, object]]] = {
    "sync": {},
    "sync in the federation format": {"filter": {"event_format": "federation"}},
}


async def erase(user: UserClient) -> None:
    """Have a user erased."""
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user.user_id},
        "password": PASSWORD,
    }
    body = {"erase": True, "auth": auth}
    response = await user.post("/v3/account/deactivate", body)
    assert response.status == 200, response.body


async def room_of_both(alice: UserClient, bob: UserClient, **body: object) -> str:
    """A public room that Alice made and Bob joined."""
    room_id = await create_room(alice, preset="public_chat", **body)
    await join(bob, room_id)
    return room_id


async def read(
    client: Client, reading: str, room_id: str, event_id: str, other_id: str = ""
) -> dict[str, Any]:
    """The content of an event as one of the ``_PATHS`` or ``_SYNCS`` shows it."""
    if reading in _SYNCS:
        entry = room_of(await sync(client, **_SYNCS[reading]), room_id)
        found = entry["timeline"]["events"]
    else:
        path = reading.format(event_id=event_id, other_id=other_id)
        response = await client.get(f"/v3/rooms/{room_id}/{path}")
        assert response.status == 200, response.body
        found = response.json
        for key in _PATHS[reading]:
            found = found[key]
    events = found if isinstance(found, list) else [found]
    # Events of the federation format do not name themselves.
    [event] = [
        each
        for each in events
        if (each["sender"], each["type"]) == (BOB, "m.room.message")
    ]
    assert event.get("event_id", event_id) == event_id
    content: dict[str, Any] = event["content"]
    return content


@pytest.mark.parametrize("reading", [*_PATHS, *_SYNCS])
async def test_newcomers_are_served_redacted_copies(
    server: Server, reading: str
) -> None:
    """... "served redacted copies of the events sent by this account"."""
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    room_id = await room_of_both(alice, bob)
    event_id = await send(bob, room_id, "secret")
    other_id = await send(alice, room_id)

    await erase(bob)
    await join(carol, room_id)

    assert await read(carol, reading, room_id, event_id, other_id) == {}
    # "Users which had visibility on those events prior to the erasure are still able
    # to see unredacted copies."
    seen = await read(alice, reading, room_id, event_id, other_id)
    assert seen["body"] == "secret"


async def test_what_others_sent_is_not_erased(server: Server) -> None:
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    room_id = await room_of_both(alice, bob)
    event_id = await send(alice, room_id, "hers")

    await erase(bob)
    await join(carol, room_id)

    event = (await carol.get(f"/v3/rooms/{room_id}/event/{event_id}")).json
    assert event["content"]["body"] == "hers"


async def test_a_new_name_makes_no_newcomer(server: Server) -> None:
    """Another member event of somebody who was joined all the time."""
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    room_id = await room_of_both(alice, bob)
    await join(carol, room_id)
    event_id = await send(bob, room_id, "secret")

    await erase(bob)
    renamed = await set_state(
        carol,
        room_id,
        "m.room.member",
        {"membership": "join", "displayname": "C."},
        CAROL,
    )

    assert renamed.status == 200
    for reading in ("messages?dir=b", "sync"):
        seen = await read(carol, reading, room_id, event_id)
        assert seen["body"] == "secret"


async def test_who_comes_back_sees_what_they_had_seen(server: Server) -> None:
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    room_id = await room_of_both(alice, bob)
    await join(carol, room_id)
    seen_id = await send(bob, room_id, "seen")
    assert (await carol.post(f"/v3/rooms/{room_id}/leave", {})).status == 200
    missed_id = await send(bob, room_id, "missed")

    await erase(bob)
    await join(carol, room_id)

    path = f"/v3/rooms/{room_id}/event"
    seen, missed = [
        (await carol.get(f"{path}/{event_id}")).json
        for event_id in (seen_id, missed_id)
    ]
    assert seen["content"]["body"] == "seen"
    assert missed["content"] == {}


async def test_who_was_only_invited_is_a_newcomer(server: Server) -> None:
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    await carol.get("/v3/account/whoami")
    room_id = await room_of_both(alice, bob)
    assert (await member(alice, room_id, "invite", CAROL)).status == 200
    event_id = await send(bob, room_id, "secret")

    await erase(bob)
    await join(carol, room_id)

    assert await read(carol, "event/{event_id}", room_id, event_id) == {}


async def test_passers_by_see_no_more_than_newcomers(server: Server) -> None:
    """Even where the world may read the room, and could before."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await room_of_both(alice, bob)
    readable = {"history_visibility": "world_readable"}
    await set_state(alice, room_id, "m.room.history_visibility", readable)
    event_id = await send(bob, room_id, "secret")

    await erase(bob)

    visitor = await guest(server)
    assert await read(visitor, "messages?dir=b", room_id, event_id) == {}


async def test_newcomers_do_not_learn_the_erased_users_name(server: Server) -> None:
    """Member events keep the membership alone, in ``prev_content`` as well."""
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    room_id = await room_of_both(alice, bob)
    member_of_bob = {"membership": "join", "displayname": "Robert"}
    named = await set_state(bob, room_id, "m.room.member", member_of_bob, BOB)
    assert named.status == 200

    await erase(bob)
    await join(carol, room_id)

    room = f"/v3/rooms/{room_id}"
    for path in ("messages?dir=b&limit=50", "members", "state"):
        assert b"Robert" not in (await carol.get(f"{room}/{path}")).body
    assert b"Robert" in (await alice.get(f"{room}/messages?dir=b&limit=50")).body
    assert await state(carol, room_id, "m.room.member", BOB) == {"membership": "leave"}


async def test_the_reason_of_a_redaction_is_erased_with_it(server: Server) -> None:
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    room_id = await room_of_both(alice, bob)
    event_id = await send(bob, room_id, "secret")
    redacted = await bob.put(
        f"/v3/rooms/{room_id}/redact/{event_id}/1", {"reason": "too much"}
    )
    assert redacted.status == 200

    await erase(bob)
    await join(carol, room_id)

    path = f"/v3/rooms/{room_id}/event/{event_id}"
    assert b"too much" not in (await carol.get(path)).body
    assert b"too much" in (await alice.get(path)).body


async def test_the_state_of_the_room_outlives_who_set_it(server: Server) -> None:
    """Without its encryption event newcomers would send in the clear."""
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    room_id = await room_of_both(
        alice, bob, power_level_content_override={"users": {BOB: 100}}
    )
    encryption = {"algorithm": "m.megolm.v1.aes-sha2"}
    await set_state(bob, room_id, "m.room.encryption", encryption)

    await erase(bob)
    await join(carol, room_id)

    assert await state(carol, room_id, "m.room.encryption") == encryption
    entry = room_of(await sync(carol), room_id)
    [event] = [
        each
        for each in entry["state"]["events"] + entry["timeline"]["events"]
        if each["type"] == "m.room.encryption"
    ]
    assert event["content"] == encryption


async def test_a_restart_forgets_no_erasure(
    database_source: DatabaseSource, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = config_for(database_source, tmp_path_factory.mktemp("data"))
    async with running_server(config) as server:
        alice, bob = server.client(ALICE), server.client(BOB)
        room_id = await room_of_both(alice, bob)
        event_id = await send(bob, room_id, "secret")
        await erase(bob)

    async with running_server(config) as restarted:
        carol = restarted.client(CAROL)
        await join(carol, room_id)
        assert await read(carol, "event/{event_id}", room_id, event_id) == {}
        restarted.users.add(ALICE)
        seen = await read(
            restarted.client(ALICE), "event/{event_id}", room_id, event_id
        )
        assert seen["body"] == "secret"
