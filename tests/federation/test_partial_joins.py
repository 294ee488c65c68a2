"""Joins of rooms with many members: what is known at once, and what comes later."""

import asyncio
from urllib.parse import quote

import pytest

from tests.features.rooms import error_of, send
from tests.federation.big_rooms import (
    MEMBERS,
    BigRoom,
    arrived,
    arrives,
    big_room,
    entry_after,
    events_of,
    joined_rooms,
    members,
)
from tests.federation.memberships import BOB, join, leave, membership
from tests.federation.network import Federation
from tests.federation.remote import FAR, Remote
from tests.federation.rooms import Inbox, bodies
from tests.http_client import Client
from tests.server import Server


@pytest.fixture
def room(remote: Remote, third: Remote) -> BigRoom:
    return big_room(remote, third)


async def test_a_room_is_usable_before_its_members_are_known(
    bob: Client, room: BigRoom, third: Remote
) -> None:
    inbox = Inbox()
    third.answers["/v1/send/"] = inbox.answer

    response = await join(bob, room.id, FAR)

    assert response.status == 200, response.body
    entry = (await joined_rooms(bob, lazy=True))[0][room.id]
    assert "m.joined_member_count" not in entry.get("summary", {})
    types = {event["type"] for event in entry["state"]["events"]}
    assert types >= {"m.room.create", "m.room.name", "m.room.power_levels"}
    await send(bob, room.id, "hello")
    # The other server is sent it on the resident's word that it is in the room.
    await inbox.until(lambda inbox: bodies(inbox) == ["hello"])


async def test_members_are_told_when_all_are_known(
    bob: Client, room: BigRoom, two: Server
) -> None:
    await join(bob, room.id, FAR)
    asking = asyncio.ensure_future(members(bob, room))
    nobody_yet, token = await joined_rooms(bob, lazy=False)

    room.released.set()

    assert await asking == {*room.member_ids, BOB}
    assert len(room.member_ids) == MEMBERS + 2
    # Who takes the members that a sync shows for all there are is shown the room now.
    assert room.id not in nobody_yet
    entry = await entry_after(bob, room, token, lazy=False)
    assert len(entry["state"]["events"]) > MEMBERS
    assert entry["summary"]["m.joined_member_count"] == MEMBERS + 3
    row = await two.db.first("SELECT completed_pos FROM rooms_partial_states")
    assert row is not None
    assert row[0] is not None


async def test_clients_that_load_members_lazily_are_shown_the_room_anew(
    bob: Client, room: BigRoom
) -> None:
    await join(bob, room.id, FAR)
    _, token = await joined_rooms(bob, lazy=True)

    room.released.set()

    entry = await entry_after(bob, room, token, lazy=True)
    assert entry["summary"]["m.joined_member_count"] == MEMBERS + 3


@pytest.mark.parametrize("path", ["members", "joined_members", "state"])
async def test_lists_of_members_wait(bob: Client, room: BigRoom, path: str) -> None:
    await join(bob, room.id, FAR)

    asking = asyncio.ensure_future(bob.get(f"/v3/rooms/{quote(room.id)}/{path}"))
    await joined_rooms(bob, lazy=True)
    assert not asking.done()
    room.released.set()

    assert (await asking).status == 200


async def test_one_members_membership_waits(bob: Client, room: BigRoom) -> None:
    await join(bob, room.id, FAR)
    assert await membership(bob, room.id, BOB) == "join"

    asking = asyncio.ensure_future(membership(bob, room.id, room.user(7)))
    await joined_rooms(bob, lazy=True)
    assert not asking.done()
    room.released.set()

    assert await asking == "join"


async def test_events_of_unknown_members_come_at_once(
    bob: Client, room: BigRoom, remote: Remote, two: Server
) -> None:
    """What decides on them is believed as they tell it, until it is known."""
    await join(bob, room.id, FAR)
    said = room.say(room.user(3), "hello")
    topic = room.add("m.room.topic", {"topic": "aspens"}, state_key="")
    gone = room.add(
        "m.room.member",
        {"membership": "leave"},
        sender=room.user(4),
        state_key=room.user(4),
    )
    events = [said, topic, gone]

    results = await remote.send(two, *map(room.pdu, events))

    assert results == {each.event.event_id: {} for each in events}
    entry = (await joined_rooms(bob, lazy=True))[0][room.id]
    assert {each.event.event_id for each in events} <= events_of(entry)
    room.released.set()
    assert await members(bob, room) == {*room.member_ids, BOB} - {room.user(4)}
    assert all([await arrived(bob, room, each) for each in events])


async def test_an_event_beside_the_join_needs_no_other_state(
    bob: Client, room: BigRoom, remote: Remote, two: Server
) -> None:
    """Somebody spoke while the join was on its way: the room forks, and goes on."""
    beside = room.hosted.build("m.room.message", {"body": "meanwhile"}, state_key=None)
    await join(bob, room.id, FAR)
    room.by_id[beside.event.event_id] = beside

    results = await remote.send(two, room.pdu(beside))

    assert results == {beside.event.event_id: {}}
    assert await arrived(bob, room, beside)
    room.released.set()
    assert await members(bob, room) == {*room.member_ids, BOB}


async def test_events_that_need_another_state_wait_for_it(
    bob: Client, room: BigRoom, remote: Remote, two: Server, federation: Federation
) -> None:
    unheard = room.say(room.user(1), "nobody has this")
    late = room.say(room.user(1), "late")
    for each in (unheard, late):
        room.by_id[each.event.event_id] = each
        room.hosted.events.remove(each)
    await join(bob, room.id, FAR)
    remote.answers["/v1/get_missing_events/"] = {"events": []}

    results = await remote.send(two, room.pdu(late))

    assert results == {late.event.event_id: {}}
    assert not await arrived(bob, room, late)
    assert not federation.network.asked(FAR, "/v1/state/")
    room.released.set()
    await members(bob, room)
    await arrives(bob, room, late)
    assert not await two.db.all("SELECT * FROM rooms_deferred_events")


async def test_other_servers_are_not_told_what_is_not_known(
    bob: Client, room: BigRoom, third: Remote, two: Server
) -> None:
    await join(bob, room.id, FAR)
    join_id = quote(room.hosted.events[-1].event.event_id, safe="")

    path = f"/v1/state_ids/{quote(room.id, safe='')}"
    state = await third.ask(two, path, {"event_id": join_id})
    event = await third.ask(two, f"/v1/event/{join_id}")

    assert error_of(state) == (404, "M_NOT_FOUND")
    assert event.status == 200


async def test_other_servers_are_shown_what_is_for_members(
    bob: Client, room: BigRoom, third: Remote, two: Server
) -> None:
    """Which users they have there is not known, but that they have some."""
    visibility = {"history_visibility": "joined"}
    room.add("m.room.history_visibility", visibility, state_key="")
    await join(bob, room.id, FAR)
    event_id = await send(bob, room.id, "for members")

    event = await third.ask(two, f"/v1/event/{quote(event_id, safe='')}")

    [pdu] = event.json["pdus"]
    assert pdu["content"]["body"] == "for members"


async def test_other_servers_come_in_when_it_is_known_who_may(
    bob: Client, room: BigRoom, third: Remote, two: Server
) -> None:
    await join(bob, room.id, FAR)

    joining = asyncio.ensure_future(third.join(two, room.id, "new"))
    await joined_rooms(bob, lazy=True)
    assert not joining.done()
    room.released.set()

    await joining
    assert await membership(bob, room.id, "@new:third.test") == "join"


async def test_history_is_read_before_all_members_are_known(
    bob: Client, room: BigRoom
) -> None:
    """What it says of a user of ours is not taken for what they are now."""
    for kind in ("invite", "leave"):
        room.add("m.room.member", {"membership": kind}, state_key="@dave:two.test")
    said = room.say(room.user(1), "before")
    expected = {each.event.event_id for each in room.hosted.state.values()}
    await join(bob, room.id, FAR)
    join_id = room.hosted.events[-1].event.event_id

    page = await bob.get(f"/v3/rooms/{quote(room.id)}/messages?dir=b&limit=20")

    assert said.event.event_id in {each["event_id"] for each in page.json["chunk"]}
    room.released.set()
    state = await bob.get(f"/v3/rooms/{quote(room.id)}/state")
    assert {each["event_id"] for each in state.json} == {*expected, join_id}


async def test_leaving_ends_the_search(
    bob: Client, room: BigRoom, federation: Federation
) -> None:
    await join(bob, room.id, FAR)

    assert (await leave(bob, room.id)).status == 200

    response = await bob.get(f"/v3/rooms/{quote(room.id)}/members")
    assert error_of(response) == (404, "M_NOT_FOUND")


async def test_somebody_who_was_kicked_is_out(
    bob: Client, room: BigRoom, remote: Remote, two: Server
) -> None:
    await join(bob, room.id, FAR)
    kick = room.add("m.room.member", {"membership": "leave"}, state_key=BOB)

    assert await remote.send(two, room.pdu(kick)) == {kick.event.event_id: {}}

    assert room.id not in (await joined_rooms(bob, lazy=True))[0]


async def test_a_second_user_joins_through_the_resident_server(
    bob: Client, two: Server, room: BigRoom
) -> None:
    """Whether they are banned, only others know."""
    await join(bob, room.id, FAR)
    dave = two.client("@dave:two.test")

    response = await join(dave, room.id, FAR)

    assert response.status == 200, response.body
    assert room.id in (await joined_rooms(dave, lazy=True))[0]
    room.released.set()
    assert await members(bob, room) == {*room.member_ids, BOB, "@dave:two.test"}


@pytest.mark.parametrize("by_state", [True, False])
async def test_inviting_waits_until_it_is_known_who_is_in(
    bob: Client, room: BigRoom, *, by_state: bool
) -> None:
    await join(bob, room.id, FAR)
    path = f"/v3/rooms/{quote(room.id)}"
    whom = room.user(8)
    inviting = (
        bob.put(f"{path}/state/m.room.member/{quote(whom)}", {"membership": "invite"})
        if by_state
        else bob.post(f"{path}/invite", {"user_id": whom})
    )

    asking = asyncio.ensure_future(inviting)
    await joined_rooms(bob, lazy=True)
    assert not asking.done()
    room.released.set()

    assert error_of(await asking) == (403, "M_FORBIDDEN")


async def test_a_room_is_left_and_joined_again_before_all_is_known(
    bob: Client, room: BigRoom, two: Server
) -> None:
    await join(bob, room.id, FAR)
    await leave(bob, room.id)
    left = room.add("m.room.member", {"membership": "leave"}, sender=BOB, state_key=BOB)
    assert left

    response = await join(bob, room.id, FAR)

    assert response.status == 200, response.body
    room.released.set()
    assert await members(bob, room) == {*room.member_ids, BOB}
