"""CS getSpaceHierarchy, among rooms of this server."""

from itertools import pairwise
from typing import Any

import pytest

from tests.features.rooms import create_room, error_of, join, member, set_state
from tests.features.spaces.trees import (
    add_child,
    children,
    create_space,
    hierarchy,
    room_of,
    tree,
)
from tests.http_client import Client
from tests.query_counter import counted
from tests.server import Server
from tremula.features.spaces import walking

ALICE, BOB = "@alice:test", "@bob:test"


async def test_a_space_is_shown_with_its_rooms_depth_first(alice: Client) -> None:
    space, inner = await create_space(alice), await create_space(alice, name="Inner")
    first, last, deep = [await create_room(alice) for _ in range(3)]
    await add_child(alice, space, last, order="c")
    await add_child(alice, space, inner, order="b", suggested=True)
    await add_child(alice, space, first, order="a")
    await add_child(alice, inner, deep)

    answer = await hierarchy(alice, space)

    ids = [room["room_id"] for room in answer.json["rooms"]]
    assert ids == [space, first, inner, deep, last]
    assert "next_batch" not in answer.json
    shown = room_of(answer, space)
    assert children(shown) == [first, inner, last]
    event = shown["children_state"][1]
    assert event.pop("origin_server_ts") > 0
    assert event == {
        "type": "m.space.child",
        "state_key": inner,
        "sender": ALICE,
        "content": {"via": ["test"], "order": "b", "suggested": True},
    }
    assert children(room_of(answer, deep)) == []


async def test_a_room_is_summed_up(alice: Client) -> None:
    members = await create_room(alice)
    room_id = await create_room(
        alice,
        name="Trees",
        topic="Aspens",
        room_version="10",
        initial_state=[
            {
                "type": "m.room.join_rules",
                "content": {
                    "join_rule": "restricted",
                    "allow": [{"type": "m.room_membership", "room_id": members}],
                },
            },
            {
                "type": "m.room.encryption",
                "content": {"algorithm": "m.megolm.v1.aes-sha2"},
            },
        ],
    )

    answer = await hierarchy(alice, room_id)

    assert answer.json["rooms"] == [
        {
            "room_id": room_id,
            "name": "Trees",
            "topic": "Aspens",
            "join_rule": "restricted",
            "allowed_room_ids": [members],
            "encryption": "m.megolm.v1.aes-sha2",
            "room_version": "10",
            "num_joined_members": 1,
            "world_readable": False,
            "guest_can_join": True,
            "children_state": [],
        }
    ]


# Who may see what


def initial(event_type: str, **content: object) -> dict[str, Any]:
    return {"type": event_type, "content": content}


def join_rule(rule: str, **more: object) -> dict[str, Any]:
    return {"initial_state": [initial("m.room.join_rules", join_rule=rule, **more)]}


@pytest.mark.parametrize(
    ("room", "is_shown"),
    [
        ({"preset": "public_chat"}, True),
        ({"preset": "private_chat"}, False),
        (join_rule("knock"), True),
        (join_rule("knock_restricted"), True),
        (join_rule("knock_restricted") | {"room_version": "9"}, False),
        (join_rule("knock") | {"room_version": "6"}, False),
        (join_rule("private"), False),
        (join_rule("restricted"), False),
        (
            {
                "initial_state": [
                    initial(
                        "m.room.history_visibility",
                        history_visibility="world_readable",
                    )
                ]
            },
            True,
        ),
    ],
)
async def test_cve_2021_39163_a_room_is_shown_to_whoever_may_join_or_read_it(
    alice: Client, bob: Client, room: dict[str, Any], *, is_shown: bool
) -> None:
    space = await create_space(alice)
    room_id = await create_room(alice, name="Secret", **room)
    await add_child(alice, space, room_id)

    expected = [space, room_id] if is_shown else [space]
    assert await tree(bob, space) == expected
    assert (b"Secret" in (await hierarchy(bob, space)).body) is is_shown
    own = await hierarchy(bob, room_id)
    assert is_shown or error_of(own) == (403, "M_FORBIDDEN")


async def test_members_of_the_rooms_that_are_allowed_see_a_restricted_one(
    alice: Client, bob: Client
) -> None:
    space, members = await create_space(alice), await create_space(alice)
    allow = [{"type": "m.room_membership", "room_id": members}]
    room_id = await create_room(alice, **join_rule("restricted", allow=allow))
    await add_child(alice, space, room_id)

    assert await tree(bob, space) == [space]
    await join(bob, members)
    assert await tree(bob, space) == [space, room_id]
    assert (await bob.post(f"/v3/rooms/{members}/leave", {})).status == 200
    assert await tree(bob, space) == [space]


async def test_a_private_room_is_shown_to_its_members_and_whom_they_invite(
    alice: Client, bob: Client
) -> None:
    space, room_id = await create_space(alice), await create_room(alice)
    await add_child(alice, space, room_id)

    assert (await member(alice, room_id, "invite", BOB)).status == 200
    assert await tree(bob, space) == [space, room_id]
    await join(bob, room_id)
    assert await tree(bob, space) == [space, room_id]
    assert (await member(alice, room_id, "kick", BOB)).status == 200
    assert await tree(bob, space) == [space]


async def test_who_is_banned_sees_nothing(alice: Client, bob: Client) -> None:
    """ "The user has been banned from the room." """
    space, inner = await create_space(alice), await create_space(alice)
    room_id = await create_room(alice, preset="public_chat")
    await add_child(alice, space, inner)
    await add_child(alice, inner, room_id)
    assert (await member(alice, inner, "ban", BOB)).status == 200

    # Nor what is below.
    assert await tree(bob, space) == [space]
    assert error_of(await hierarchy(bob, inner)) == (403, "M_FORBIDDEN")


async def test_a_room_that_there_is_not_is_forbidden(alice: Client) -> None:
    assert error_of(await hierarchy(alice, "!no:test")) == (403, "M_FORBIDDEN")


# What is a child


async def test_only_spaces_have_children(alice: Client) -> None:
    room_id = await create_room(alice, preset="public_chat")
    await add_child(alice, room_id, await create_room(alice))

    answer = await hierarchy(alice, room_id)

    assert [children(room) for room in answer.json["rooms"]] == [[]]


@pytest.mark.parametrize("via", [None, "test", [], [7], {"0": "test"}])
async def test_without_servers_a_child_is_none(alice: Client, via: object) -> None:
    space, room_id = await create_space(alice), await create_room(alice)
    await add_child(alice, space, room_id, via=via)

    answer = await hierarchy(alice, space)

    assert [children(room) for room in answer.json["rooms"]] == [[]]


async def test_a_child_that_was_taken_out_is_none(alice: Client) -> None:
    space, room_id = await create_space(alice), await create_room(alice)
    await add_child(alice, space, room_id)
    assert await tree(alice, space) == [space, room_id]

    await set_state(alice, space, "m.space.child", {}, room_id)

    assert await tree(alice, space) == [space]


async def test_only_suggested_rooms_are_considered_on_demand(alice: Client) -> None:
    space, inner = await create_space(alice), await create_space(alice)
    yes, no = await create_room(alice), await create_room(alice)
    await add_child(alice, space, inner, suggested=True)
    await add_child(alice, space, no, suggested=False)
    await add_child(alice, inner, yes, suggested=True)
    await add_child(alice, inner, no)

    answer = await hierarchy(alice, space, suggested_only="true")

    assert [(room["room_id"], children(room)) for room in answer.json["rooms"]] == [
        (space, [inner]),
        (inner, [yes]),
        (yes, []),
    ]
    assert set(await tree(alice, space)) == {space, inner, yes, no}


@pytest.mark.parametrize(("depth", "count"), [(0, 1), (1, 2), (2, 3), (99, 4)])
async def test_the_tree_ends_at_max_depth(
    alice: Client, depth: int, count: int
) -> None:
    spaces = [await create_space(alice) for _ in range(4)]
    for parent, child in pairwise(spaces):
        await add_child(alice, parent, child)

    assert await tree(alice, spaces[0], max_depth=depth) == spaces[:count]


@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_cyclic_spaces_end(alice: Client, limit: int) -> None:
    """Each room comes once, over all pages, be it its own child or grandchild."""
    one, two = await create_space(alice), await create_space(alice)
    for parent in (one, two):
        for child in (one, two):
            await add_child(alice, parent, child)

    assert await tree(alice, one, limit=limit) == [one, two]


async def test_spaces_that_all_contain_each_other_do_not_multiply(
    alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a room for each way through them there would be millions."""
    spaces = [await create_space(alice) for _ in range(8)]
    for parent in spaces:
        for child in spaces:
            await add_child(alice, parent, child)

    assert sorted(await tree(alice, spaces[0])) == sorted(spaces)
    monkeypatch.setattr(walking, "ROOMS_MAX", 3)
    assert len(await tree(alice, spaces[0])) == 3


# Pages


async def test_pages_go_on_where_the_last_one_ended(alice: Client) -> None:
    space = await create_space(alice)
    rooms = [await create_room(alice) for _ in range(5)]
    for number, room_id in enumerate(rooms):
        await add_child(alice, space, room_id, order=str(number))

    first = await hierarchy(alice, space, limit=2)

    assert len(first.json["rooms"]) == 2
    for limit in (1, 2, 3, 6):
        assert await tree(alice, space, limit=limit) == [space, *rooms]


async def test_a_page_goes_on_after_its_last_room_whatever_came_before(
    alice: Client,
) -> None:
    space = await create_space(alice)
    rooms = [await create_room(alice) for _ in range(3)]
    for number, room_id in enumerate(rooms):
        await add_child(alice, space, room_id, order=f"b{number}")
    token = (await hierarchy(alice, space, limit=2)).json["next_batch"]

    await add_child(alice, space, await create_room(alice), order="a")
    page = await hierarchy(alice, space, **{"from": token})
    assert [room["room_id"] for room in page.json["rooms"]] == rooms[1:]


async def test_a_page_goes_on_though_the_room_before_it_is_gone(alice: Client) -> None:
    """A client that shows a space as its user scrolls has no use for an error."""
    space = await create_space(alice)
    rooms = [await create_room(alice) for _ in range(4)]
    for number, room_id in enumerate(rooms):
        await add_child(alice, space, room_id, order=f"b{number}")
    token = (await hierarchy(alice, space, limit=3)).json["next_batch"]

    await add_child(alice, space, rooms[1], via=None)
    page = await hierarchy(alice, space, **{"from": token}, limit=1)

    assert [room["room_id"] for room in page.json["rooms"]] == [rooms[2]]
    page = await hierarchy(alice, space, **{"from": page.json["next_batch"]})
    assert [room["room_id"] for room in page.json["rooms"]] == [rooms[3]]
    await add_child(alice, space, rooms[3], via=None)
    await add_child(alice, space, rooms[2], via=None)
    page = await hierarchy(alice, space, **{"from": token})
    assert page.json == {"rooms": []}


async def test_the_request_cannot_change_between_pages(alice: Client) -> None:
    space = await create_space(alice)
    await add_child(alice, space, await create_room(alice), suggested=True)
    token = (await hierarchy(alice, space, limit=1, max_depth=3)).json["next_batch"]

    for changed in ({"max_depth": 2}, {"max_depth": 3, "suggested_only": "true"}, {}):
        answer = await hierarchy(alice, space, **{"from": token}, **changed)
        assert error_of(answer) == (400, "M_INVALID_PARAM")
    same = await hierarchy(alice, space, **{"from": token, "max_depth": 3})
    assert same.status == 200


async def test_a_token_shows_nothing_that_its_bearer_may_not_see(
    alice: Client, bob: Client
) -> None:
    space = await create_space(alice, preset="private_chat")
    await add_child(alice, space, await create_room(alice))
    token = (await hierarchy(alice, space, limit=1)).json["next_batch"]

    answer = await hierarchy(bob, space, **{"from": token})

    assert error_of(answer) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize(
    "query",
    [
        {"from": "x"},
        {"from": ""},
        {"limit": "0"},
        {"limit": "many"},
        {"max_depth": "-1"},
        {"suggested_only": "yes"},
    ],
)
async def test_malformed_parameters_are_refused(
    alice: Client, query: dict[str, str]
) -> None:
    space = await create_space(alice)

    assert error_of(await hierarchy(alice, space, **query)) == (400, "M_INVALID_PARAM")


async def test_a_page_ends_before_it_gets_too_large(alice: Client) -> None:
    """Each of the rooms has a topic of 60 KB and more."""
    space = await create_space(alice)
    for _ in range(3):
        inner = await create_space(alice, topic="x" * 30_000)
        await add_child(alice, space, inner)
    whole = (await hierarchy(alice, space)).body

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tremula.features.spaces.service._PAGE_BYTES_MAX", 70_000)
        page = await hierarchy(alice, space)
        rooms = await tree(alice, space)

    assert len(page.body) < 80_000 < len(whole)
    assert len(rooms) == 4


# What it costs


@pytest.mark.one_process(reason="it counts the queries of one process")
async def test_a_space_costs_no_query_a_room(server: Server, alice: Client) -> None:
    space = await create_space(alice)
    for _ in range(20):
        await add_child(alice, space, await create_room(alice))
    await hierarchy(alice, space)

    with counted(server.db) as queries:
        assert len(await tree(alice, space)) == 21

    assert queries.reads == []
