"""CS upgradeRoom, over HTTP."""

import asyncio
from urllib.parse import quote

import pytest

from tests.features.rooms import (
    create_room,
    error_of,
    join,
    member,
    set_state,
    state,
)
from tests.http_client import Client
from tests.server import Server

ALICE, BOB = "@alice:test", "@bob:test"


async def upgrade(client: Client, room_id: str, version: str, **body: object) -> str:
    response = await client.post(
        f"/v3/rooms/{room_id}/upgrade", {"new_version": version, **body}
    )
    assert response.status == 200, response.body
    successor_id: str = response.json["replacement_room"]
    return successor_id


@pytest.mark.parametrize(
    ("old", "new"), [("1", "6"), ("9", "10"), ("10", "11"), ("11", "12"), ("12", "12")]
)
async def test_the_successor_takes_over_state_aliases_and_place(
    server: Server, old: str, new: str
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(
        alice,
        room_version=old,
        visibility="public",
        name="Trees",
        topic="Aspens",
        room_alias_name="trees",
        creation_content={"type": "m.space", "m.federate": False},
    )

    successor_id = await upgrade(alice, room_id, new)

    create = await state(alice, successor_id, "m.room.create")
    assert (create["room_version"], create["type"]) == (new, "m.space")
    assert create["m.federate"] is False
    assert create["predecessor"]["room_id"] == room_id
    assert (await state(alice, successor_id, "m.room.name")) == {"name": "Trees"}
    assert (await state(alice, successor_id, "m.room.topic"))["topic"] == "Aspens"
    alias = "#trees:test"
    assert await state(alice, successor_id, "m.room.canonical_alias") == {
        "alias": alias
    }
    resolved = await alice.get(f"/v3/directory/room/{quote(alias)}")
    assert resolved.json["room_id"] == successor_id
    published = (await alice.get("/v3/publicRooms")).json["chunk"]
    assert [room["room_id"] for room in published] == [successor_id]

    tombstone = await state(alice, room_id, "m.room.tombstone")
    assert tombstone["replacement_room"] == successor_id
    assert await state(alice, room_id, "m.room.canonical_alias") == {}


async def test_the_recommended_state_is_transferred_and_nothing_else(
    server: Server,
) -> None:
    """Neither memberships, but for bans, nor events of other namespaces."""
    alice = server.client(ALICE)
    await server.client(BOB).get("/v3/account/whoami")
    room_id = await create_room(alice, preset="public_chat")
    transferred: dict[str, dict[str, object]] = {
        "m.room.server_acl": {"allow": ["*"], "deny": ["bad.test"]},
        "m.room.encryption": {"algorithm": "m.megolm.v1.aes-sha2"},
        "m.room.name": {"name": "Trees"},
        "m.room.avatar": {"url": "mxc://test/tree"},
        "m.room.topic": {"topic": "Aspens"},
        "m.room.guest_access": {"guest_access": "can_join"},
        "m.room.history_visibility": {"history_visibility": "joined"},
        "m.room.join_rules": {"join_rule": "knock"},
    }
    others: dict[str, dict[str, object]] = {
        "org.example.x": {"a": 1},
        "m.room.pinned_events": {"pinned": ["$x"]},
    }
    for event_type, content in {**transferred, **others}.items():
        assert (await set_state(alice, room_id, event_type, content)).status == 200
    assert (await member(alice, room_id, "invite", BOB)).status == 200

    successor_id = await upgrade(alice, room_id, "12")

    for event_type, content in transferred.items():
        assert await state(alice, successor_id, event_type) == content
    for key in (*others, f"m.room.member/{BOB}"):
        path = f"/v3/rooms/{successor_id}/state/{key}"
        assert error_of(await alice.get(path)) == (404, "M_NOT_FOUND")


async def test_ordinary_users_cannot_go_on_in_the_old_room(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    path = f"/v3/rooms/{room_id}/send/m.room.message"
    assert (
        await bob.put(f"{path}/1", {"body": "a", "msgtype": "m.text"})
    ).status == 200

    await upgrade(alice, room_id, "12")

    refused = await bob.put(f"{path}/2", {"body": "b", "msgtype": "m.text"})
    assert error_of(refused) == (403, "M_FORBIDDEN")
    levels = await state(alice, room_id, "m.room.power_levels")
    assert (levels["events_default"], levels["invite"]) == (50, 50)


@pytest.mark.parametrize("version", ["11", "12"])
async def test_a_space_keeps_its_rooms_and_its_bans(
    server: Server, version: str
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    levels = {"users": {ALICE: 100, BOB: 50}}
    old_id = await create_room(
        alice,
        preset="public_chat",
        room_version="10",
        creation_content={"type": "m.space"},
        power_level_content_override=levels,
    )
    await join(bob, old_id)
    child = {"via": ["test"], "order": "b", "suggested": True}
    await set_state(alice, old_id, "m.space.child", child, "!child:test")
    await set_state(alice, old_id, "m.space.child", {}, "!removed:test")
    await set_state(alice, old_id, "m.space.parent", {"via": ["test"]}, "!top:test")
    await member(alice, old_id, "ban", "@mallory:test")
    tombstone = {"users": {ALICE: 100, BOB: 50}, "events": {"m.room.tombstone": 50}}
    await set_state(alice, old_id, "m.room.power_levels", tombstone)

    new_id = await upgrade(bob, old_id, version)

    assert await state(bob, new_id, "m.space.child", "!child:test") == child
    removed = f"/v3/rooms/{new_id}/state/m.space.child/!removed:test"
    assert (await bob.get(removed)).status == 404
    parent = await state(bob, new_id, "m.space.parent", "!top:test")
    assert parent == {"via": ["test"]}
    banned = await state(bob, new_id, "m.room.member", "@mallory:test")
    assert banned["membership"] == "ban"


async def test_power_levels_are_taken_over(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(
        alice,
        room_version="9",
        power_level_content_override={
            "users": {ALICE: 100, BOB: "75"},
            "ban": "60",
            "events_default": 3,
        },
    )

    newer = await upgrade(alice, room_id, "11")
    levels = await state(alice, newer, "m.room.power_levels")
    assert levels["users"] == {ALICE: 100, BOB: 75}
    assert (levels["ban"], levels["events_default"]) == (60, 3)

    newest = await upgrade(alice, newer, "12")
    levels = await state(alice, newest, "m.room.power_levels")
    # The creator's power is infinite and may not be listed.
    assert levels["users"] == {BOB: 75}
    assert levels["events"]["m.room.tombstone"] > levels["state_default"]


async def test_a_moderator_upgrades_without_rising(server: Server) -> None:
    """They may send the tombstone, yet are no admin of the successor."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(
        alice,
        room_version="10",
        preset="public_chat",
        power_level_content_override={
            "users": {ALICE: 100, BOB: 50},
            "events": {"m.room.tombstone": 50, "m.room.power_levels": 100},
        },
    )
    await join(bob, room_id)

    successor_id = await upgrade(bob, room_id, "11")

    levels = await state(bob, successor_id, "m.room.power_levels")
    assert levels["users"] == {ALICE: 100, BOB: 50}
    # Bob lacks the power to silence the old room: that is left as it was.
    assert (await state(alice, room_id, "m.room.power_levels"))["events_default"] == 0


async def test_additional_creators_are_those_of_the_request(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(
        alice, creation_content={"additional_creators": ["@carol:test"]}
    )

    successor_id = await upgrade(alice, room_id, "12", additional_creators=[BOB])

    create = await state(alice, successor_id, "m.room.create")
    assert create["additional_creators"] == [BOB]
    levels = await state(alice, successor_id, "m.room.power_levels")
    assert levels["users"] == {"@carol:test": 100}
    ignored = await upgrade(alice, successor_id, "11", additional_creators=["x"])
    assert "additional_creators" not in await state(alice, ignored, "m.room.create")


async def test_an_upgrade_takes_power_and_a_known_version(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    path = f"/v3/rooms/{room_id}/upgrade"

    for client, body, error in [
        (bob, {"new_version": "12"}, (403, "M_FORBIDDEN")),
        (server.client("@carol:test"), {"new_version": "12"}, (403, "M_FORBIDDEN")),
        (alice, {"new_version": "1000"}, (400, "M_UNSUPPORTED_ROOM_VERSION")),
        (alice, {}, (400, "M_MISSING_PARAM")),
        (
            alice,
            {"new_version": "12", "additional_creators": ["x"]},
            (400, "M_INVALID_PARAM"),
        ),
    ]:
        assert error_of(await client.post(path, body)) == error

    refused = await alice.get(f"/v3/rooms/{room_id}/state/m.room.tombstone")
    assert error_of(refused) == (404, "M_NOT_FOUND")
    silent = await set_state(bob, room_id, "m.room.tombstone", {})
    assert error_of(silent) == (403, "M_FORBIDDEN")


async def test_who_asks_again_meanwhile_is_given_the_same_successor(
    server: Server,
) -> None:
    """As a client does that gave up waiting."""
    alice = server.client(ALICE)
    room_id = await create_room(alice, room_version="11", room_alias_name="trees")

    first, second, other = await asyncio.gather(
        upgrade(alice, room_id, "12"),
        upgrade(alice, room_id, "12"),
        upgrade(alice, room_id, "11"),
    )

    assert first == second != other
    create = await state(alice, other, "m.room.create")
    assert create["room_version"] == "11"


async def test_moderators_who_upgrade_at_once_are_given_one_successor(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    levels = {"users": {ALICE: 100, BOB: 100}}
    made = {
        "room_version": "11",
        "preset": "public_chat",
        "power_level_content_override": levels,
    }
    room_id = await create_room(alice, **made, room_alias_name="trees")
    branch_id = await create_room(alice, **made)
    for each in (room_id, branch_id):
        await join(bob, each)
    rule = {"type": "m.room_membership", "room_id": room_id}
    restricted = {"join_rule": "restricted", "allow": [rule]}
    await set_state(alice, branch_id, "m.room.join_rules", restricted)

    first, second = await asyncio.gather(
        upgrade(alice, room_id, "12"), upgrade(bob, room_id, "12")
    )

    assert first == second
    tombstone = await state(alice, room_id, "m.room.tombstone")
    assert tombstone["replacement_room"] == first
    found = await alice.get("/v3/directory/room/%23trees:test")
    assert found.json["room_id"] == first
    await join(bob, first)
    join_rules = await state(alice, branch_id, "m.room.join_rules")
    assert join_rules["allow"] == [rule, {**rule, "room_id": first}]


async def test_a_room_that_was_upgraded_before_is_upgraded_again(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    first = await upgrade(alice, room_id, "12")
    second = await upgrade(alice, room_id, "12")

    assert first != second
    tombstone = await state(alice, room_id, "m.room.tombstone")
    assert tombstone["replacement_room"] == second


async def begin_upgrade(client: Client, room_id: str, version: str) -> str:
    """What there is if the server goes down after the first step; the new room."""
    newest = (await client.get(f"/v3/rooms/{room_id}/messages?dir=b&limit=1")).json
    predecessor = {
        "room_id": room_id,
        "event_id": newest["chunk"][0]["event_id"],
    }
    return await create_room(
        client, room_version=version, creation_content={"predecessor": predecessor}
    )


@pytest.mark.parametrize(("old", "new"), [("10", "11"), ("11", "12"), ("12", "12")])
async def test_an_upgrade_that_was_cut_short_is_finished(
    server: Server, old: str, new: str
) -> None:
    """The user asks again: they would have two new rooms, with one of no use."""
    alice = server.client(ALICE)
    room_id = await create_room(alice, room_version=old, name="Trees")
    await member(alice, room_id, "ban", BOB)
    begun = await begin_upgrade(alice, room_id, new)

    successor_id = await upgrade(alice, room_id, new)

    assert successor_id == begun
    tombstone = await state(alice, room_id, "m.room.tombstone")
    assert tombstone["replacement_room"] == begun
    assert (await state(alice, begun, "m.room.name")) == {"name": "Trees"}
    banned = await state(alice, begun, "m.room.member", BOB)
    assert banned["membership"] == "ban"
    assert await upgrade(alice, room_id, new) != begun


async def test_a_room_that_others_use_is_no_upgrade_that_was_cut_short(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, room_version="11")
    theirs = await begin_upgrade(alice, room_id, "12")
    await member(alice, theirs, "invite", BOB)
    await join(bob, theirs)
    other_version = await begin_upgrade(alice, room_id, "11")

    assert await upgrade(alice, room_id, "12") not in {theirs, other_version}
