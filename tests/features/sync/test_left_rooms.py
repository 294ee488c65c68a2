"""Rooms that were left, in `/sync`: news of leaving, archived rooms, coming back."""

from tests.features.rooms import create_room, join, member, send, set_state
from tests.features.sync.syncing import bodies, keys, members, room_of, sync, token
from tests.server import Server, UserClient

ALICE = "@alice:test"
BOB = "@bob:test"
ARCHIVE = {"room": {"include_leave": True}}


async def _room_of(alice: UserClient, bob: UserClient) -> str:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    return room_id


async def _leave(client: UserClient, room_id: str) -> None:
    assert (await client.post(f"/v3/rooms/{room_id}/leave", {})).status == 200


async def test_a_room_that_was_left_shows_what_happened_up_to_there(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    await send(alice, room_id, "stay")
    await _leave(bob, room_id)
    await send(alice, room_id, "gone")
    await set_state(alice, room_id, "m.room.name", {"name": "Without Bob"})

    answer = await sync(bob, since)

    entry = room_of(answer, room_id, "leave")
    assert bodies(entry) == ["stay"]
    assert entry["timeline"]["events"][-1]["content"]["membership"] == "leave"
    assert entry["state"]["events"] == []
    assert "join" not in answer["rooms"]
    assert answer["next_batch"] != since
    assert (await sync(bob, answer["next_batch"]))["rooms"] == {}


async def test_kicks_and_bans_end_the_room(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    for action, membership in (("kick", "leave"), ("ban", "ban")):
        room_id = await _room_of(alice, bob)
        since = await token(bob)

        await member(alice, room_id, action, BOB, reason="enough")

        entry = room_of(await sync(bob, since), room_id, "leave")
        [event] = entry["timeline"]["events"]
        assert event["content"] == {"membership": membership, "reason": "enough"}
        assert (event["sender"], event["unsigned"]["membership"]) == (ALICE, membership)


async def test_the_end_of_a_ban_is_shown_to_who_was_there(server: Server) -> None:
    """Clients follow a membership by its event: to them it would go on."""
    alice, bob = server.client(ALICE), server.client(BOB)
    known = await _room_of(alice, bob)
    strange = await create_room(alice)
    for room_id in (known, strange):
        await member(alice, room_id, "ban", BOB)
    since = await token(bob)

    for room_id in (known, strange):
        await member(alice, room_id, "unban", BOB)

    answer = await sync(bob, since)
    [event] = room_of(answer, known, "leave")["timeline"]["events"]
    assert (event["state_key"], event["content"]["membership"]) == (BOB, "leave")
    assert room_of(answer, strange, "leave")["timeline"]["events"] == []


async def test_nothing_reaches_those_who_left(server: Server) -> None:
    """Neither messages nor state nor receipts nor typing."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    await _leave(bob, room_id)
    since = await token(bob)

    event_id = await send(alice, room_id)
    await set_state(alice, room_id, "m.room.topic", {"topic": "secret"})
    await alice.post(f"/v3/rooms/{room_id}/receipt/m.read/{event_id}", {})
    await alice.put(f"/v3/rooms/{room_id}/typing/{ALICE}", {"typing": True})

    assert (await sync(bob, since))["rooms"] == {}
    assert (await sync(bob, since, filter=ARCHIVE))["rooms"] == {}
    assert (await sync(bob, since, full_state=True))["rooms"] == {}


async def test_a_ban_after_leaving_shows_nothing_of_the_time_between(
    server: Server,
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    before = await token(bob)
    await _leave(bob, room_id)
    since = await token(bob)
    await set_state(alice, room_id, "m.room.topic", {"topic": "secret"})
    await member(alice, room_id, "ban", BOB)

    for position in (before, since):
        for form in ({}, {"use_state_after": True}):
            answer = await sync(bob, position, **form)
            entry = room_of(answer, room_id, "leave")
            state = entry.get("state") or entry["state_after"]
            shown = state["events"] + entry["timeline"]["events"]
            assert "m.room.topic" not in {event["type"] for event in shown}


async def test_archived_rooms_are_shown_on_request_only(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    await send(alice, room_id, "seen")
    await bob.put(f"/v3/user/{BOB}/rooms/{room_id}/tags/u.old", {"order": 0.5})
    await _leave(bob, room_id)
    await send(alice, room_id, "unseen")
    await set_state(alice, room_id, "m.room.name", {"name": "unseen"})

    assert (await sync(bob))["rooms"] == {}
    entry = room_of(await sync(bob, filter=ARCHIVE), room_id, "leave")

    assert bodies(entry) == ["seen"]
    shown = keys(entry["state"]["events"]) | keys(
        [e for e in entry["timeline"]["events"] if "state_key" in e]
    )
    assert {("m.room.create", ""), ("m.room.member", BOB)} <= shown
    assert ("m.room.name", "") not in shown
    [tag] = entry["account_data"]["events"]
    assert tag == {"type": "m.tag", "content": {"tags": {"u.old": {"order": 0.5}}}}


async def test_the_state_of_an_archived_room_is_that_at_its_end(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    await set_state(alice, room_id, "m.room.topic", {"topic": "then"})
    await _leave(bob, room_id)
    await set_state(alice, room_id, "m.room.topic", {"topic": "now"})

    answer = await sync(bob, filter=ARCHIVE, use_state_after=True)

    state = room_of(answer, room_id, "leave")["state_after"]["events"]
    topics = [e["content"] for e in state if e["type"] == "m.room.topic"]
    assert topics == [{"topic": "then"}]
    assert set(members(state)) == {ALICE, BOB}


async def test_leaving_comes_with_the_rooms_new_account_data(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    path = f"/v3/user/{BOB}/rooms/{room_id}/account_data"
    await bob.put(f"{path}/org.old", {"known": True})
    since = await token(bob)

    await bob.put(f"{path}/org.new", {"known": False})
    await _leave(bob, room_id)

    entry = room_of(await sync(bob, since), room_id, "leave")
    assert entry["account_data"]["events"] == [
        {"type": "org.new", "content": {"known": False}}
    ]


async def test_new_account_data_of_an_archived_room_is_news(server: Server) -> None:
    """To clients that show archived rooms."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    await _leave(bob, room_id)
    since = await token(bob)

    await bob.put(f"/v3/user/{BOB}/rooms/{room_id}/tags/m.lowpriority", {})

    entry = room_of(await sync(bob, since, filter=ARCHIVE), room_id, "leave")
    [tag] = entry["account_data"]["events"]
    assert tag["content"] == {"tags": {"m.lowpriority": {}}}
    assert entry["timeline"]["events"] == []
    assert (await sync(bob, since))["rooms"] == {}


async def test_other_devices_learn_that_a_forgotten_room_was_left(
    server: Server,
) -> None:
    phone = server.client(BOB, device_id="PHONE")
    alice = server.client(ALICE)
    room_id = await _room_of(alice, phone)
    laptop = server.client(BOB, device_id="LAPTOP")
    since = await token(laptop)

    await _leave(phone, room_id)
    assert (await phone.post(f"/v3/rooms/{room_id}/forget", {})).status == 200

    entry = room_of(await sync(laptop, since), room_id, "leave")
    [event] = entry["timeline"]["events"]
    assert (event["state_key"], event["content"]["membership"]) == (BOB, "leave")
    assert entry["state"]["events"] == []
    assert (await sync(laptop, filter=ARCHIVE))["rooms"] == {}


async def test_who_comes_back_gets_the_whole_room(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    await _leave(bob, room_id)
    since = await token(bob)
    await set_state(alice, room_id, "m.room.topic", {"topic": "news"})
    for _ in range(10):
        await send(alice, room_id)
    await join(bob, room_id)

    entry = room_of(await sync(bob, since), room_id)

    assert entry["timeline"]["limited"] is True
    assert {("m.room.create", ""), ("m.room.topic", ""), ("m.room.member", ALICE)} <= (
        keys(entry["state"]["events"])
    )
    assert entry["summary"]["m.joined_member_count"] == 2


async def test_a_short_visit_is_shown_as_a_room_that_was_left(server: Server) -> None:
    """Joined and left between two syncs: the stay, with the state that goes with it."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    since = await token(bob)
    await join(bob, room_id)
    await send(alice, room_id, "welcome")
    await _leave(bob, room_id)
    await send(alice, room_id, "gone")

    entry = room_of(await sync(bob, since), room_id, "leave")

    assert bodies(entry) == ["welcome"]
    everything = entry["state"]["events"] + entry["timeline"]["events"]
    assert ("m.room.create", "") in keys([e for e in everything if "state_key" in e])


async def test_leave_and_rejoin_between_two_syncs_loses_no_state(
    server: Server,
) -> None:
    """What was set meanwhile is hidden from the timeline, but not from the state."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    setting = {"history_visibility": "joined"}
    await set_state(alice, room_id, "m.room.history_visibility", setting)
    since = await token(bob)
    await send(alice, room_id, "before")
    await _leave(bob, room_id)
    await send(alice, room_id, "missed")
    await set_state(alice, room_id, "m.room.topic", {"topic": "meanwhile"})
    await join(bob, room_id)
    await send(alice, room_id, "after")

    entry = room_of(await sync(bob, since), room_id)

    assert bodies(entry) == ["after"]
    assert entry["timeline"]["limited"] is True
    assert keys(entry["state"]["events"]) == {
        ("m.room.topic", ""),
        ("m.room.member", BOB),
    }
    earlier = await bob.get(
        f"/v3/rooms/{room_id}/messages",
        query={"dir": "b", "from": entry["timeline"]["prev_batch"], "to": since},
    )
    found = [event["content"].get("body") for event in earlier.json["chunk"]]
    assert found == [None, "before"]
