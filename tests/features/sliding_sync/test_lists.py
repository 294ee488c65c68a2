"""Lists: windows of a user's rooms by their activity, and subscriptions."""

from tests.features.rooms import create_room, send
from tests.features.sliding_sync.polling import (
    ALICE,
    a_list,
    bodies,
    poll,
    slide,
)
from tests.server import Server


async def test_a_window_holds_the_most_active_rooms(server: Server) -> None:
    alice = server.client(ALICE)
    rooms = [await create_room(alice, name=str(number)) for number in range(4)]
    await send(alice, rooms[1], "newest")

    answer = await slide(alice, lists={"all": a_list(0, 1, timeline_limit=1)})

    assert answer["lists"] == {"all": {"count": 4}}
    assert set(answer["rooms"]) == {rooms[1], rooms[3]}
    room = answer["rooms"][rooms[1]]
    assert room["initial"] is True
    assert room["limited"] is True
    assert room["name"] == "1"
    assert bodies(room) == ["newest"]
    assert (room["joined_count"], room["invited_count"]) == (1, 0)
    assert (room["notification_count"], room["highlight_count"]) == (0, 0)


async def test_only_news_follow(server: Server) -> None:
    alice = server.client(ALICE)
    rooms = [await create_room(alice) for _ in range(2)]
    lists = {"all": a_list()}
    first = await slide(alice, lists=lists)

    nothing = await slide(alice, first["pos"], lists=lists)
    await send(alice, rooms[0], "news")
    news = await slide(alice, nothing["pos"], lists=lists)

    assert nothing["rooms"] == {}
    assert nothing["lists"] == {"all": {"count": 2}}
    assert set(news["rooms"]) == {rooms[0]}
    room = news["rooms"][rooms[0]]
    assert bodies(room) == ["news"]
    assert len(room["timeline"]) == 1
    assert room["num_live"] == 1
    assert room["limited"] is False
    assert "initial" not in room
    assert "name" not in room


async def test_a_wider_window_brings_the_other_rooms(server: Server) -> None:
    alice = server.client(ALICE)
    rooms = [await create_room(alice) for _ in range(3)]
    first = await slide(alice, lists={"all": a_list(0, 0)})

    second = await slide(alice, first["pos"], lists={"all": a_list(0, 2)})

    assert set(first["rooms"]) == {rooms[2]}
    assert set(second["rooms"]) == {rooms[0], rooms[1]}
    assert all(room["initial"] for room in second["rooms"].values())


async def test_a_room_that_left_the_window_lacks_nothing_when_it_is_back(
    server: Server,
) -> None:
    """What was said meanwhile is told from where the client left off."""
    alice = server.client(ALICE)
    room_id = await create_room(alice)
    first = await slide(alice, lists={"all": a_list()})
    await send(alice, room_id, "unseen")
    away = await slide(alice, first["pos"], lists={"all": a_list(5, 6)})
    await send(alice, room_id, "seen")

    back = await slide(alice, away["pos"], lists={"all": a_list()})

    assert away["rooms"] == {}
    assert bodies(back["rooms"][room_id]) == ["unseen", "seen"]
    assert "initial" not in back["rooms"][room_id]


async def test_a_subscription_needs_no_list(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client("@bob:test")
    room_id, foreign = await create_room(alice), await create_room(bob)
    wanted = {"timeline_limit": 2, "required_state": [["m.room.create", ""]]}

    answer = await slide(
        alice, room_subscriptions={room_id: wanted, foreign: wanted, "!no:test": wanted}
    )

    assert set(answer["rooms"]) == {room_id}
    assert len(answer["rooms"][room_id]["timeline"]) == 2
    [create] = answer["rooms"][room_id]["required_state"]
    assert create["type"] == "m.room.create"
    assert "room_id" not in create


async def test_an_unknown_position_is_told(server: Server) -> None:
    alice = server.client(ALICE)
    foreign = ("1_1", "77_1", "s12", "0_0", "0_999999999999999", "_", "1_2_3")
    for pos in (*foreign, "x" * 9000):
        response = await poll(alice, pos, lists={"all": a_list()})

        assert (response.status, response.json["errcode"]) == (400, "M_UNKNOWN_POS")
