"""Rooms that administrators list, block and delete, over HTTP."""

from typing import Any

import pytest

from tests.features.account_moderation.administrators import admin
from tests.features.rooms import create_room, error_of, join, member, send, set_state
from tests.server import Server, UserClient
from tremula.infra.db import Database
from tremula.infra.db.purging import tables_with
from tremula.infra.slots import Slots
from tremula.protocol.identifiers import RoomId
from tremula.rooms import purging

ALICE, BOB, CAROL = "@alice:test", "@bob:test", "@carol:test"
ROOMS = "/_tremula/admin/v1/rooms"
FORBIDDEN = (403, "M_FORBIDDEN")

# What says who has left, as of any room that this server is not in; and that the room
# was deleted.
STAYS = {"rooms_rooms", "rooms_memberships", "rooms_outside", "room_deletions"}


async def delete(
    server: Server, root: UserClient, room_id: str, **body: object
) -> None:
    """Delete a room, and see that it is done."""
    assert (await root.delete(f"{ROOMS}/{room_id}", body)).json == {}
    for app in server.apps:
        await app.moderation.rooms.deletions.work_off()
    shown = (await root.get(f"{ROOMS}/{room_id}")).json
    assert "done_ts_ms" in shown["deletion"]


async def rows_left(db: Database) -> dict[str, int]:
    """How many rows with rooms there are, by table."""
    counts = {}
    by_nid, by_id = await tables_with(db, "room_nid"), await tables_with(db, "room_id")
    for referring in (*by_nid, *by_id):
        sql: Any = f"SELECT COUNT(*) FROM {referring.table}"  # noqa: S608
        [(count,)] = await db.all(sql)
        if count and referring.table not in STAYS:
            counts[referring.table] = count
    return counts


async def busy_room(alice: UserClient, bob: UserClient) -> str:
    """A room with something of everything."""
    room_id = await create_room(
        alice, preset="public_chat", visibility="public", room_alias_name="busy"
    )
    await join(bob, room_id)
    event_id = await send(bob, room_id, "hello")
    await bob.post(f"/v3/rooms/{room_id}/receipt/m.read/{event_id}", {})
    await bob.put(f"/v3/user/{BOB}/rooms/{room_id}/tags/u.work", {"order": 0.5})
    await bob.put(
        f"/v3/rooms/{room_id}/send/m.reaction/r1",
        {
            "m.relates_to": {
                "rel_type": "m.annotation",
                "event_id": event_id,
                "key": "+",
            }
        },
    )
    await member(alice, room_id, "invite", CAROL)
    rule = f"/v3/pushrules/global/room/{room_id}"
    for actions in ([], ["notify"]):
        assert (await bob.put(rule, {"actions": actions})).status == 200
    delayed = await bob.put(
        f"/v3/rooms/{room_id}/send/m.room.message/d1",
        {"msgtype": "m.text", "body": "later"},
        query={"org.matrix.msc4140.delay": 3_600_000},
    )
    assert delayed.status == 200, delayed.body
    return room_id


async def test_nothing_is_left_of_a_deleted_room(server: Server) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    carol = server.client(CAROL)
    await carol.get("/v3/account/whoami")
    room_id = await busy_room(alice, bob)
    had = await rows_left(server.db)
    assert {"delayed_events", "push_past_rulesets", "rooms_relations"} <= had.keys()

    await delete(server, root, room_id)

    assert await rows_left(server.db) == {}
    for client in (alice, bob, carol):
        assert (await client.get("/v3/joined_rooms")).json == {"joined_rooms": []}
        refused = await client.get(f"/v3/rooms/{room_id}/messages?dir=b")
        assert error_of(refused) == FORBIDDEN
    assert (await bob.get("/v3/publicRooms")).json["chunk"] == []
    gone = await bob.get("/v3/directory/room/%23busy:test")
    assert error_of(gone) == (404, "M_NOT_FOUND")
    shown = (await root.get(f"{ROOMS}/{room_id}")).json
    assert shown["blocked"] is False
    assert "room_version" not in shown


async def test_clients_learn_that_they_have_left(server: Server) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    room_id = await busy_room(alice, bob)
    since = (await bob.get("/v3/sync")).json["next_batch"]

    await delete(server, root, room_id)

    news = (await bob.get("/v3/sync", query={"since": since})).json["rooms"]
    [left] = news["leave"][room_id]["timeline"]["events"]
    assert (left["type"], left["state_key"]) == ("m.room.member", BOB)
    assert left["content"] == {"membership": "leave"}
    with_left = {"filter": '{"room":{"include_leave":true}}'}
    assert (await bob.get("/v3/sync", query=with_left)).status == 200


async def test_other_rooms_are_as_they_were(server: Server) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    kept_id = await create_room(alice, preset="public_chat", name="kept")
    await join(bob, kept_id)
    event_id = await send(alice, kept_id, "here to stay")
    room_id = await busy_room(alice, bob)

    await delete(server, root, room_id)

    event = await bob.get(f"/v3/rooms/{kept_id}/event/{event_id}")
    assert event.json["content"]["body"] == "here to stay"
    await send(bob, kept_id)


async def test_what_is_the_users_or_the_administrators_stays(server: Server) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    room_id = await busy_room(alice, bob)
    reported = await bob.post(f"/v3/rooms/{room_id}/report", {"reason": "spam"})
    assert reported.status == 200
    made = await bob.post(
        "/v3/room_keys/version", {"algorithm": "m.megolm_backup.v1", "auth_data": {}}
    )
    version = made.json["version"]
    key = {
        "first_message_index": 0,
        "forwarded_count": 0,
        "is_verified": True,
        "session_data": {"ciphertext": "x"},
    }
    path = f"/v3/room_keys/keys/{room_id}/session?version={version}"
    assert (await bob.put(path, key)).status == 200

    await delete(server, root, room_id)

    assert set(await rows_left(server.db)) == {"key_backup_sessions", "reports"}


async def test_nobody_comes_back_to_a_room_that_stays_blocked(server: Server) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    room_id = await busy_room(alice, bob)

    await delete(server, root, room_id, block=True)

    assert (await root.get(f"{ROOMS}/{room_id}")).json["blocked"] is True
    assert error_of(await bob.post(f"/v3/join/{room_id}", {})) == FORBIDDEN
    assert error_of(await bob.post(f"/v3/knock/{room_id}", {})) == FORBIDDEN


async def test_a_blocked_room_takes_in_nobody_new(server: Server) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    await bob.get("/v3/account/whoami")
    room_id = await create_room(alice, preset="public_chat")
    path = f"{ROOMS}/{room_id}/block"

    assert (await root.put(path, {"blocked": True})).json == {}

    joined = {"membership": "join"}
    for refused in (
        await bob.post(f"/v3/rooms/{room_id}/join", {}),
        await member(alice, room_id, "invite", BOB),
        await set_state(bob, room_id, "m.room.member", joined, BOB),
    ):
        assert error_of(refused) == FORBIDDEN
    await send(alice, room_id, "who is in it stays")
    assert (await root.put(path, {"blocked": False})).json == {}
    await join(bob, room_id)


async def test_a_room_is_blocked_for_who_remembers_that_it_is_not(
    server: Server,
) -> None:
    """Every process has let somebody in, and asks no more."""
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    await bob.get("/v3/account/whoami")
    room_id = await create_room(alice, preset="public_chat")
    for number in range(2 * len(server.apps)):
        guest = server.client(f"@guest{number}:test")
        await guest.get("/v3/account/whoami")
        await join(guest, room_id)
    path = f"{ROOMS}/{room_id}/block"

    for blocked, expected in ((True, 403), (False, 200)):
        assert (await root.put(path, {"blocked": blocked})).json == {}
        for _ in server.apps:
            answer = await bob.post(f"/v3/join/{room_id}", {})
            assert answer.status == expected


async def test_rooms_are_listed_in_pages(server: Server) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    first_id = await create_room(alice, preset="public_chat", name="First")
    second_id = await create_room(alice)
    await join(bob, first_id)

    page = (await root.get(ROOMS, query={"limit": 1})).json
    assert page["rooms"] == [
        {"room_id": first_id, "room_version": "12", "joined_local_members": 2}
    ]
    rest = await root.get(ROOMS, query={"from": page["next_batch"]})
    assert [room["room_id"] for room in rest.json["rooms"]] == [second_id]
    shown: dict[str, Any] = (await root.get(f"{ROOMS}/{first_id}")).json
    assert (shown["name"], shown["creator"]) == ("First", ALICE)
    assert shown["joined_members"] == 2


@pytest.mark.parametrize("path", ["", "/!a:test", "/!a:test/block"])
async def test_rooms_are_for_administrators(server: Server, path: str) -> None:
    bob = server.client(BOB)

    if path.endswith("block"):
        refused = await bob.put(ROOMS + path, {"blocked": True})
    else:
        refused = await bob.get(ROOMS + path)

    assert error_of(refused) == FORBIDDEN
    assert error_of(await bob.delete(f"{ROOMS}/!a:test", {})) == FORBIDDEN


async def test_what_is_no_room_is_not_deleted(server: Server) -> None:
    root = await admin(server)

    unknown = await root.delete(f"{ROOMS}/!nowhere:test", {})
    assert error_of(unknown) == (404, "M_NOT_FOUND")
    malformed = await root.delete(f"{ROOMS}/nonsense", {})
    assert error_of(malformed) == (400, "M_INVALID_PARAM")


async def test_a_room_that_is_published_as_it_is_deleted_is_in_no_directory(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, alice = await admin(server), server.client(ALICE)
    room_id = await create_room(alice, preset="public_chat")
    stays = await create_room(alice, preset="public_chat", visibility="public")
    assert len((await alice.get("/v3/publicRooms")).json["chunk"]) == 1
    close = purging.close_room

    async def close_late(slots: Slots, closed_id: RoomId) -> bool:
        listed = await root.put(
            f"/v3/directory/list/room/{closed_id}", {"visibility": "public"}
        )
        assert listed.status == 200, listed.body
        return await close(slots, closed_id)

    monkeypatch.setattr(purging, "close_room", close_late)

    await delete(server, root, room_id)

    listing = await alice.get("/v3/publicRooms")
    assert listing.status == 200, listing.body
    assert [each["room_id"] for each in listing.json["chunk"]] == [stays]


async def test_a_room_stays_blocked_if_that_is_asked_as_it_is_deleted(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, alice = await admin(server), server.client(ALICE)
    room_id = await create_room(alice)
    close = purging.close_room

    async def close_late(slots: Slots, closed_id: RoomId) -> bool:
        asked = await root.delete(f"{ROOMS}/{closed_id}", {"block": True})
        assert asked.status == 200, asked.body
        return await close(slots, closed_id)

    monkeypatch.setattr(purging, "close_room", close_late)

    await delete(server, root, room_id)

    assert (await root.get(f"{ROOMS}/{room_id}")).json["blocked"] is True
