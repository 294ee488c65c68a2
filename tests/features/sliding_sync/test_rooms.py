"""What an answer says of a room that the user is in."""

import pytest

from tests.features.rooms import create_room, join, member, send, set_state
from tests.features.sliding_sync.polling import (
    ALICE,
    BOB,
    CAROL,
    a_list,
    bodies,
    ids,
    keys,
    slide,
)
from tests.features.sync.syncing import members
from tests.server import Server

TOPIC = ("m.room.topic", "")
NAME = ("m.room.name", "")
JOIN_RULES = ("m.room.join_rules", "")


async def test_required_state_is_what_was_asked_for(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat", name="Home", topic="Tea")
    await join(bob, room_id)
    await set_state(alice, room_id, "org.note", {}, "one")
    await set_state(alice, room_id, "org.note", {}, "two")

    async def asked(*pairs: list[str]) -> set[tuple[str, str]]:
        wanted = a_list(timeline_limit=0, required_state=list(pairs))
        answer = await slide(alice, lists={"all": wanted})
        return keys(answer["rooms"][room_id]["required_state"])

    everything = await asked(["*", "*"])
    assert await asked() == set()
    assert await asked(["m.room.topic", ""], ["m.room.avatar", ""]) == {TOPIC}
    assert await asked(["org.note", "*"]) == {("org.note", "one"), ("org.note", "two")}
    assert await asked(["*", "two"]) == {("org.note", "two")}
    assert await asked(["m.room.member", "$ME"]) == {("m.room.member", ALICE)}
    assert {("m.room.member", BOB), TOPIC, ("org.note", "one")} < everything
    # Nobody is in the timeline, whose members would be loaded lazily.
    lazily = await asked(["*", "*"], ["m.room.member", "$LAZY"])
    assert lazily == {key for key in everything if key[0] != "m.room.member"}
    assert await asked(["m.room.member", "$LAZY"]) == set()


async def test_changed_state_follows_if_it_is_required(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Before", topic="Tea")
    lists = {"all": a_list(required_state=[["m.room.topic", ""]])}
    first = await slide(alice, lists=lists)

    await set_state(alice, room_id, "m.room.topic", {"topic": "Coffee"})
    await set_state(alice, room_id, "m.room.name", {"name": "After"})
    second = await slide(alice, first["pos"], lists=lists)
    await set_state(alice, room_id, "m.room.name", {})
    third = await slide(alice, second["pos"], lists=lists)

    room = second["rooms"][room_id]
    [topic] = room["required_state"]
    assert topic["content"] == {"topic": "Coffee"}
    assert room["name"] == "After"
    assert third["rooms"][room_id]["name"] is None
    assert third["rooms"][room_id]["required_state"] == []


async def test_state_that_is_required_later_is_sent_at_once(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Home", topic="Tea")
    some = {"all": a_list(required_state=[["m.room.topic", ""]])}
    more = {"all": a_list(required_state=[["m.room.topic", ""], ["m.room.name", ""]])}
    first = await slide(alice, lists=some)

    second = await slide(alice, first["pos"], lists=more)
    less = await slide(alice, second["pos"], lists=some)
    again = await slide(alice, less["pos"], lists=more)

    room = second["rooms"][room_id]
    assert keys(room["required_state"]) == {NAME}
    assert room["timeline"] == []
    assert less["rooms"] == again["rooms"] == {}


async def test_state_that_changed_while_it_was_not_required_is_sent_again(
    server: Server,
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Before", topic="Tea")
    some = {"all": a_list(required_state=[["m.room.topic", ""]])}
    more = {"all": a_list(required_state=[["m.room.topic", ""], ["m.room.name", ""]])}
    first = await slide(alice, lists=more)
    await set_state(alice, room_id, "m.room.name", {"name": "After"})
    less = await slide(alice, first["pos"], lists=some)

    again = await slide(alice, less["pos"], lists=more)

    [name] = again["rooms"][room_id]["required_state"]
    assert name["content"] == {"name": "After"}


async def test_members_are_loaded_lazily_and_once(server: Server) -> None:
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    room_id = await create_room(alice, preset="public_chat")
    for user in (bob, carol):
        await join(user, room_id)
    for _ in range(2):
        await send(bob, room_id)
    lazy = [["m.room.member", "$LAZY"]]
    lists = {"all": a_list(timeline_limit=1, required_state=lazy)}
    first = await slide(alice, lists=lists)
    await send(bob, room_id)
    second = await slide(alice, first["pos"], lists=lists)
    await send(carol, room_id)
    third = await slide(alice, second["pos"], lists=lists)

    answers = [first, second, third]
    sent = [members(each["rooms"][room_id]["required_state"]) for each in answers]
    assert sent == [[BOB], [], [CAROL]]


async def test_who_has_no_gap_is_told_of_all_changed_members(server: Server) -> None:
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    lazy = [["m.room.member", "$LAZY"]]
    lists = {"all": a_list(required_state=lazy)}
    first = await slide(alice, lists=lists)

    await join(carol, room_id)
    await member(alice, room_id, "kick", BOB)
    second = await slide(alice, first["pos"], lists=lists)

    room = second["rooms"][room_id]
    assert sorted(members(room["required_state"])) == [BOB, CAROL]
    assert room["joined_count"] == 2


async def test_a_lost_answer_is_given_again(server: Server) -> None:
    """With the members in it, who do not count as sent yet."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await send(alice, room_id)
    lazy = [["m.room.member", "$LAZY"]]
    lists = {"all": a_list(timeline_limit=1, required_state=lazy)}
    first = await slide(alice, lists=lists)
    await send(bob, room_id, "hear me")

    lost = await slide(alice, first["pos"], lists=lists)
    again = await slide(alice, first["pos"], lists=lists)
    nothing = await slide(alice, again["pos"], lists=lists)

    assert bodies(again["rooms"][room_id]) == ["hear me"]
    assert members(again["rooms"][room_id]["required_state"]) == [BOB]
    assert ids(again["rooms"][room_id]["timeline"]) == ids(
        lost["rooms"][room_id]["timeline"]
    )
    assert nothing["rooms"] == {}


async def test_a_longer_timeline_is_sent_as_a_whole(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    sent = [await send(alice, room_id, str(number)) for number in range(5)]
    first = await slide(alice, lists={"all": a_list(timeline_limit=1)})
    subscription = {room_id: {"timeline_limit": 4, "required_state": []}}
    lists = {"all": a_list(timeline_limit=1)}

    longer = await slide(
        alice, first["pos"], lists=lists, room_subscriptions=subscription
    )
    closed = await slide(alice, longer["pos"], lists=lists)
    again = await slide(
        alice, closed["pos"], lists=lists, room_subscriptions=subscription
    )

    room = longer["rooms"][room_id]
    assert ids(room["timeline"]) == sent[1:]
    assert room["unstable_expanded_timeline"] is room["expanded_timeline"] is True
    assert room["limited"] is True
    assert room["num_live"] == 0
    assert "initial" not in room
    assert closed["rooms"] == again["rooms"] == {}


async def test_a_gap_makes_a_longer_timeline_wanted_again(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    short, long = ({"all": a_list(timeline_limit=limit)} for limit in (1, 3))
    first = await slide(alice, lists=long)
    sent = [await send(alice, room_id, str(number)) for number in range(3)]

    gap = await slide(alice, first["pos"], lists=short)
    longer = await slide(alice, gap["pos"], lists=long)

    assert gap["rooms"][room_id]["limited"] is True
    assert ids(gap["rooms"][room_id]["timeline"]) == sent[-1:]
    assert ids(longer["rooms"][room_id]["timeline"]) == sent
    assert longer["rooms"][room_id]["unstable_expanded_timeline"] is True


async def test_a_gap_can_be_filled_from_prev_batch(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    sent = [await send(alice, room_id, str(number)) for number in range(4)]

    answer = await slide(alice, lists={"all": a_list(timeline_limit=2)})

    room = answer["rooms"][room_id]
    page = await alice.get(
        f"/v3/rooms/{room_id}/messages",
        query={"dir": "b", "limit": 2, "from": room["prev_batch"]},
    )
    assert ids(room["timeline"]) == sent[2:]
    assert ids(page.json["chunk"]) == [sent[1], sent[0]]


async def test_heroes_stand_in_for_a_name(server: Server) -> None:
    alice, bob, carol = map(server.client, (ALICE, BOB, CAROL))
    await bob.put(f"/v3/profile/{BOB}/displayname", {"displayname": "Bob B."})
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    lists = {"all": a_list()}
    first = await slide(alice, lists=lists)
    await join(carol, room_id)
    second = await slide(alice, first["pos"], lists=lists)
    await set_state(alice, room_id, "m.room.name", {"name": "Home"})
    named = await slide(alice, lists=lists)

    bob_hero = {"user_id": BOB, "displayname": "Bob B."}
    assert first["rooms"][room_id]["heroes"] == [bob_hero]
    heroes = second["rooms"][room_id]["heroes"]
    assert heroes == [bob_hero, {"user_id": CAROL, "displayname": "carol"}]
    assert "heroes" not in named["rooms"][room_id]


async def test_the_bump_stamp_stands_for_what_matters(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    lists = {"all": a_list()}
    first = await slide(alice, lists=lists)
    await set_state(alice, room_id, "m.room.topic", {"topic": "Tea"})
    second = await slide(alice, first["pos"], lists=lists)
    await send(alice, room_id)
    third = await slide(alice, second["pos"], lists=lists)

    stamps = [each["rooms"][room_id]["bump_stamp"] for each in (first, second, third)]
    assert stamps[0] == stamps[1] < stamps[2]


async def test_a_direct_chat_is_told_as_one(server: Server) -> None:
    alice = server.client(ALICE)
    room_id, other = await create_room(alice), await create_room(alice)
    lists = {"all": a_list()}
    path = f"/v3/user/{ALICE}/account_data/m.direct"
    await alice.put(path, {BOB: [room_id], "@odd:test": 7, "@worse:test": [{}]})
    first = await slide(alice, lists=lists)
    await alice.put(path, {BOB: [other]})

    second = await slide(alice, first["pos"], lists=lists)

    assert first["rooms"][room_id]["is_dm"] is True
    assert "is_dm" not in first["rooms"][other]
    assert second["rooms"][room_id]["is_dm"] is False
    assert second["rooms"][other]["is_dm"] is True


async def test_events_of_ignored_users_are_left_out(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    path = f"/v3/user/{ALICE}/account_data/m.ignored_user_list"
    await alice.put(path, {"ignored_users": {BOB: {}}})
    lists = {"all": a_list()}
    first = await slide(alice, lists=lists)

    await send(bob, room_id, "unheard")
    second = await slide(alice, first["pos"], lists=lists)

    assert second["rooms"] == {}


async def test_rooms_of_one_answer_may_want_different_things(server: Server) -> None:
    """Where lists overlap, a room is sent with all that any of them wants."""
    alice = server.client(ALICE)
    rooms = [await create_room(alice, topic="Tea", name="Home") for _ in range(2)]
    lists = {
        "top": a_list(0, 0, timeline_limit=3, required_state=[["m.room.topic", ""]]),
        "all": a_list(0, 1, timeline_limit=1, required_state=[["m.room.name", ""]]),
    }

    answer = await slide(alice, lists=lists)

    below, top = (answer["rooms"][room_id] for room_id in rooms)
    assert (len(below["timeline"]), len(top["timeline"])) == (1, 3)
    assert keys(below["required_state"]) == {NAME}
    assert keys(top["required_state"]) == {NAME, TOPIC}


@pytest.mark.parametrize("timeline_limit", [0, 1])
async def test_a_window_without_events_says_that_there_are_some(
    server: Server, timeline_limit: int
) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    lists = {"all": a_list(timeline_limit=timeline_limit)}
    answer = await slide(alice, lists=lists)

    assert len(answer["rooms"][room_id]["timeline"]) == timeline_limit
    assert answer["rooms"][room_id]["limited"] is True


async def test_unread_counts_follow_what_is_read(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    lists = {"all": a_list()}
    first = await slide(alice, lists=lists)
    event_id = await send(bob, room_id, "alice: listen")
    second = await slide(alice, first["pos"], lists=lists)
    await alice.post(f"/v3/rooms/{room_id}/receipt/m.read/{event_id}", {})
    third = await slide(alice, second["pos"], lists=lists)

    counts = [
        (room["notification_count"], room["highlight_count"])
        for room in (answer["rooms"][room_id] for answer in (first, second, third))
    ]
    assert counts == [(0, 0), (1, 0), (0, 0)]
    assert third["rooms"][room_id]["timeline"] == []
