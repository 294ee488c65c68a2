"""Spaces and summaries of rooms between servers."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.rooms import create_room, error_of, set_state
from tests.features.spaces.trees import (
    add_child,
    children,
    create_space,
    hierarchy,
    room_of,
    tree,
)
from tests.federation.hosted import hosted_room
from tests.federation.network import Federation, Letter, Network
from tests.federation.remote import FAR, Refusal, Remote, add_remote
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.features.spaces import remote as asking
from tremula.infra.config import Federation as FederationConfig
from tremula.protocol.hashes import event_id_of
from tremula.protocol.room_versions import ROOM_VERSIONS

ALICE = "@alice:a.test"
INNER, DEEP = "!inner:far.test", "!deep:far.test"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def server(
    database_source: DatabaseSource, federation: Federation, clock: FakeClock
) -> Server:
    return await federation.start("a.test", database_source, clock=clock)


@pytest.fixture
def alice(server: Server) -> Client:
    return server.client(ALICE)


@pytest.fixture
def remote(federation: Federation) -> Remote:
    return add_remote(federation, FAR)


@pytest.fixture
def network(federation: Federation) -> Network:
    return federation.network


def told(room_id: str, *children: str, **more: object) -> dict[str, Any]:
    """A room as another server tells of it."""
    return {
        "room_id": room_id,
        "num_joined_members": 2,
        "world_readable": False,
        "guest_can_join": False,
        "join_rule": "public",
        "room_type": "m.space",
        "children_state": [
            {
                "type": "m.space.child",
                "state_key": child,
                "sender": "@owner:far.test",
                "origin_server_ts": number,
                "content": {"via": [FAR]},
            }
            for number, child in enumerate(children)
        ],
        **more,
    }


def plain(room_id: str, **more: object) -> dict[str, Any]:
    """A room without children, as it is told of beside its space."""
    room = told(room_id, **more)
    del room["children_state"], room["room_type"]
    return room


def answers(*rooms: dict[str, Any]) -> Callable[[Letter], object]:
    """What a server answers that knows of *rooms*."""
    known = {quote(room["room_id"], safe=""): room for room in rooms}

    def answer(letter: Letter) -> object:
        room = known.get(letter.path.rpartition("/")[2])
        if room is None:
            return Refusal(404, "M_NOT_FOUND")
        return {"room": room, "children": [], "inaccessible_children": []}

    return answer


async def space_with(alice: Client, *room_ids: str, **content: object) -> str:
    """A space of ours with rooms of other servers."""
    space = await create_space(alice)
    for number, room_id in enumerate(room_ids):
        child = {"via": [FAR], "order": f"{number:03}", **content}
        await add_child(alice, space, room_id, **child)
    return space


# What other servers tell


async def test_spaces_span_servers(federation: Federation) -> None:
    one, two = await federation.start("a.test"), await federation.start("b.test")
    alice, bob = one.client(ALICE), two.client("@bob:b.test")
    inner = await create_space(bob, name="Inner")
    public = await create_room(bob, preset="public_chat", name="Public")
    private = await create_room(bob, name="Private")
    for order, room_id in (("1", public), ("2", private)):
        await add_child(bob, inner, room_id, via=["b.test"], order=order)
    space = await create_space(alice)
    await add_child(alice, space, inner, via=["b.test"])

    answer = await hierarchy(alice, space)

    shown = [room["room_id"] for room in answer.json["rooms"]]
    assert shown == [space, inner, public]
    assert children(room_of(answer, inner)) == [public, private]
    assert room_of(answer, public)["name"] == "Public"
    # The public room came along with its space.
    assert len(federation.network.asked("b.test", "/hierarchy/")) == 1


async def test_what_this_server_knows_itself_counts(
    alice: Client, remote: Remote
) -> None:
    """Whatever others say of a room that it is in."""
    secret = await create_room(alice, name="Truth")
    lie = plain(secret, name="Lie")
    remote.answers["/hierarchy/"] = {
        "room": told(INNER, secret),
        "children": [lie],
        "inaccessible_children": [secret],
    }
    space = await space_with(alice, INNER)

    answer = await hierarchy(alice, space)

    assert room_of(answer, secret)["name"] == "Truth"


async def test_a_private_room_stays_private_whatever_others_tell(
    server: Server, alice: Client, remote: Remote
) -> None:
    secret = await create_room(alice, name="Truth")
    remote.answers["/hierarchy/"] = answers(told(INNER, secret), told(secret))
    space = await space_with(alice, INNER, secret)

    assert await tree(server.client("@bob:a.test"), space) == [space, INNER]


@pytest.mark.parametrize(
    ("room", "is_shown"),
    [
        ({"join_rule": "public"}, True),
        ({"join_rule": "knock"}, True),
        ({"join_rule": "knock_restricted"}, True),
        ({"join_rule": None}, True),
        ({"join_rule": "invite"}, False),
        ({"join_rule": "invite", "world_readable": True}, True),
        ({"join_rule": "restricted", "allowed_room_ids": ["!no:far.test"]}, False),
        ({"join_rule": "invite", "allowed_room_ids": ["{joined}"]}, False),
        ({"join_rule": "restricted", "allowed_room_ids": ["{joined}"]}, True),
    ],
)
async def test_what_others_tell_is_filtered_for_the_user(
    alice: Client, remote: Remote, room: dict[str, Any], *, is_shown: bool
) -> None:
    """ "The requesting server is responsible for filtering the results further"."""
    joined = await create_room(alice)
    if room.get("allowed_room_ids") == ["{joined}"]:
        room = {**room, "allowed_room_ids": [joined]}
    remote.answers["/hierarchy/"] = answers(told(INNER, **room))
    space = await space_with(alice, INNER)

    assert (INNER in await tree(alice, space)) is is_shown


async def test_an_invited_user_sees_the_space_before_joining(
    server: Server, alice: Client, remote: Remote
) -> None:
    await alice.get("/v3/account/whoami")
    space = hosted_room(remote, join_rule="invite")
    body = space.invitation(ALICE)
    invited = await remote.ask(
        server, f"/v2/invite/{quote(space.id)}/$invite", method="PUT", content=body
    )
    assert invited.status != 200, "another event ID than in the path"
    assert error_of(await hierarchy(alice, space.id)) == (403, "M_FORBIDDEN")
    remote.answers["/hierarchy/"] = answers(told(space.id, join_rule="invite"))

    await _invite(remote, server, space.id, body)

    assert await tree(alice, space.id) == [space.id]
    bob = server.client("@bob:a.test")
    assert error_of(await hierarchy(bob, space.id)) == (403, "M_FORBIDDEN")


async def _invite(
    remote: Remote, server: Server, room_id: str, body: dict[str, Any]
) -> None:
    event_id = event_id_of(ROOM_VERSIONS[body["room_version"]], body["event"])
    path = f"/v2/invite/{quote(room_id)}/{quote(event_id)}"
    invited = await remote.ask(server, path, method="PUT", content=body)
    assert invited.status == 200, invited.body


@pytest.mark.parametrize(
    "answer",
    [
        7,
        [],
        {},
        {"room": 7},
        {"room": told(DEEP), "children": [], "inaccessible_children": []},
        {"room": told(INNER) | {"num_joined_members": "2"}},
        Refusal(404, "M_NOT_FOUND"),
        Refusal(500, "M_UNKNOWN"),
    ],
)
async def test_what_is_no_answer_is_no_room(
    alice: Client, remote: Remote, answer: object
) -> None:
    remote.answers["/hierarchy/"] = answer
    space = await space_with(alice, INNER)

    assert await tree(alice, space) == [space]


async def test_what_others_tell_is_pruned(alice: Client, remote: Remote) -> None:
    good = told(INNER, DEEP)
    [child] = good["children_state"]
    remote.answers["/hierarchy/"] = {
        "room": {
            **good,
            "name": 7,
            "evil": {},
            "children_state": [
                7,
                {**child, "event_id": "$e"},
                {**child, "type": "m.room.member"},
                {**child, "content": {"via": [FAR], "text": "x" * 5000}},
            ],
        },
        # A room that is no child comes in by no back door.
        "children": [7, plain(DEEP, extra=1), plain("!other:far.test")],
        "inaccessible_children": 7,
    }
    space = await space_with(alice, INNER)

    answer = await hierarchy(alice, space)

    [_, inner, deep] = answer.json["rooms"]
    assert inner == good
    assert deep == plain(DEEP) | {"children_state": []}


async def test_inaccessible_children_are_not_asked_for(
    alice: Client, remote: Remote, network: Network
) -> None:
    remote.answers["/hierarchy/"] = {
        "room": told(INNER, DEEP),
        "children": [],
        "inaccessible_children": [DEEP],
    }
    space = await space_with(alice, INNER)

    assert await tree(alice, space) == [space, INNER]
    assert len(network.asked(FAR, "/hierarchy/")) == 1


async def test_cyclic_spaces_of_other_servers_end(
    alice: Client, remote: Remote, network: Network
) -> None:
    space = await space_with(alice, INNER)
    remote.answers["/hierarchy/"] = answers(
        told(INNER, INNER, DEEP, space), told(DEEP, INNER, DEEP, space)
    )

    assert await tree(alice, space) == [space, INNER, DEEP]
    assert len(network.asked(FAR, "/hierarchy/")) == 2


@pytest.mark.one_process(reason="each process asks for those who ask it")
async def test_a_space_without_an_end_is_cut(
    alice: Client, remote: Remote, network: Network
) -> None:
    """Every room that is asked for has another one in it."""

    def deeper(letter: Letter) -> object:
        number = int(letter.path.rpartition("%21r")[2].partition("%3A")[0])
        return {"room": told(f"!r{number}:far.test", f"!r{number + 1}:far.test")}

    remote.answers["/hierarchy/"] = deeper
    space = await space_with(alice, "!r0:far.test")

    assert len(await tree(alice, space)) == 51
    assert len(network.asked(FAR, "/hierarchy/")) == 50


# What asking costs


@pytest.mark.one_process(reason="each process remembers what it was told")
async def test_answers_count_for_five_minutes(
    alice: Client, remote: Remote, network: Network, clock: FakeClock
) -> None:
    remote.answers["/hierarchy/"] = answers(told(INNER, name="Old"))
    space = await space_with(alice, INNER)
    await tree(alice, space)
    remote.answers["/hierarchy/"] = answers(told(INNER, name="New"))

    clock.advance_ms(299_000)
    assert room_of(await hierarchy(alice, space), INNER)["name"] == "Old"
    clock.advance_ms(2_000)
    assert room_of(await hierarchy(alice, space), INNER)["name"] == "New"
    assert len(network.asked(FAR, "/hierarchy/")) == 2


async def test_a_servers_word_counts_only_where_a_space_points_at_it(
    alice: Client, federation: Federation, remote: Remote
) -> None:
    """Else anybody could tell everybody how a room of others is called."""
    liar = add_remote(federation, "liar.test", 2)
    liar.answers["/hierarchy/"] = answers(told(INNER, name="Lie"))
    remote.answers["/hierarchy/"] = answers(told(INNER, name="Truth"))
    trap = await space_with(alice, INNER, via=["liar.test"])
    space = await space_with(alice, INNER)

    names = [
        room_of(await hierarchy(alice, each), INNER)["name"] for each in (trap, space)
    ]

    assert names == ["Lie", "Truth"]


async def test_the_next_server_is_asked_where_one_does_not_help(
    alice: Client, remote: Remote, federation: Federation
) -> None:
    add_remote(federation, "knows.not", 2)
    remote.answers["/hierarchy/"] = answers(told(INNER))
    via = ["a.test", "down.test", "knows.not", FAR, "not.needed"]
    space = await space_with(alice, INNER, via=via)

    assert await tree(alice, space) == [space, INNER]
    asked = [letter.destination for letter in federation.network.letters]
    assert asked == ["down.test", "knows.not", FAR]


@pytest.mark.one_process(reason="each process remembers who is down")
async def test_a_server_that_is_down_is_left_alone_for_a_minute(
    alice: Client, remote: Remote, network: Network, clock: FakeClock
) -> None:
    network.down.add(FAR)
    rooms = [f"!r{number}:far.test" for number in range(30)]
    space = await space_with(alice, *rooms)

    assert await tree(alice, space) == [space]
    # Those that were asked for at once.
    assert len(network.letters) <= 8
    network.down.clear()
    remote.answers["/hierarchy/"] = answers(*map(told, rooms))
    assert await tree(alice, space) == [space]
    clock.advance_ms(61_000)
    assert await tree(alice, space) == [space, *rooms]


@pytest.mark.one_process(reason="each process remembers what it was told")
async def test_a_page_asks_so_many_times_and_the_next_one_goes_on(
    alice: Client,
    remote: Remote,
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "_ASKS_MAX", 4)
    rooms = [f"!r{number}:far.test" for number in range(10)]
    remote.answers["/hierarchy/"] = answers(*map(told, rooms))
    space = await space_with(alice, *rooms)

    page = await hierarchy(alice, space)

    assert len(network.letters) <= 4
    assert "next_batch" in page.json
    assert await tree(alice, space) == [space, *rooms]


async def test_a_page_asks_for_so_long_and_no_longer(
    alice: Client, remote: Remote, network: Network, clock: FakeClock
) -> None:
    """Each server takes six seconds to say no."""
    rooms = [f"!r{number}:far.test" for number in range(60)]
    space = await space_with(alice, *rooms)

    def slow(_: Letter) -> object:
        clock.advance_ms(6_000)
        return Refusal(404, "M_NOT_FOUND")

    remote.answers["/hierarchy/"] = slow

    await hierarchy(alice, space)

    assert len(network.letters) == 3


@pytest.mark.one_process(reason="each process asks for those who ask it")
async def test_many_who_ask_at_once_are_one_request(
    alice: Client, remote: Remote, network: Network
) -> None:
    remote.answers["/hierarchy/"] = answers(told(INNER))
    space = await space_with(alice, INNER)

    async with asyncio.TaskGroup() as group:
        pages = [group.create_task(tree(alice, space)) for _ in range(5)]

    assert [page.result() for page in pages] == [[space, INNER]] * 5
    assert len(network.asked(FAR, "/hierarchy/")) == 1


# Summaries


async def summary(client: Client, room: str, *via: str) -> HttpResponse:
    path = f"/v1/room_summary/{quote(room, safe='')}"
    return await client.get(path, query={"via": via})


async def test_our_users_have_rooms_of_other_servers_summed_up(
    server: Server, alice: Client, remote: Remote, network: Network
) -> None:
    remote.answers["/hierarchy/"] = answers(told(INNER, DEEP, room_version="11"))
    remote.answers["/query/directory"] = {"room_id": INNER, "servers": [FAR]}

    by_id = await summary(alice, INNER, FAR)
    by_alias = await summary(alice, "#inner:far.test")

    room = told(INNER, room_version="11")
    del room["children_state"]
    assert by_id.json == by_alias.json == room | {"membership": "leave"}
    network.letters.clear()
    for room_name in ("#inner:far.test", INNER):
        unknown = await summary(server.anonymous, room_name, FAR)
        assert error_of(unknown) == (404, "M_NOT_FOUND")
    assert network.letters == []


async def test_a_private_room_of_another_server_is_not_found(
    alice: Client, remote: Remote
) -> None:
    remote.answers["/hierarchy/"] = answers(told(INNER, join_rule="invite"))

    for room_id in (INNER, DEEP):
        assert error_of(await summary(alice, room_id, FAR)) == (404, "M_NOT_FOUND")


async def test_a_space_of_a_server_that_is_denied_is_not_asked_for(
    federation: Federation,
) -> None:
    add_remote(federation, FAR)
    server = await federation.start(
        "a.test", federation=FederationConfig(enabled=False)
    )
    alice = server.client(ALICE)
    space = await space_with(alice, INNER)

    assert await tree(alice, space) == [space]
    assert await set_state(alice, space, "m.room.name", {"name": "still there"})
    assert federation.network.letters == []
