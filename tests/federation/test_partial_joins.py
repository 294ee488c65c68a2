"""Joins of rooms with many members: what is known at once, and what comes later."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import DatabaseSource
from tests.features.rooms import error_of, send
from tests.federation.big_rooms import MEMBERS, BigRoom, State, big_room
from tests.federation.hosted import Json
from tests.federation.memberships import BOB, join, leave, membership
from tests.federation.network import PATIENCE_S, Federation
from tests.federation.remote import FAR, Refusal, Remote, add_remote
from tests.federation.rooms import Inbox, bodies
from tests.http_client import Client
from tests.server import Server, config_for, running_server
from tremula.protocol.events import BuiltEvent
from tremula.protocol.identifiers import ServerName, UserId

LAZY = '{"room":{"state":{"lazy_load_members":true}}}'


@pytest.fixture
def room(remote: Remote, third: Remote) -> BigRoom:
    return big_room(remote, third)


async def joined_rooms(
    client: Client, *, lazy: bool, since: str | None = None
) -> tuple[dict[str, Any], str]:
    """The joined rooms of a sync, and its token."""
    query: dict[str, str] = {"filter": LAZY} if lazy else {}
    if since is not None:
        query |= {"since": since, "timeout": "10000"}
    answer = (await client.get("/v3/sync", query=query)).json
    return answer.get("rooms", {}).get("join", {}), answer["next_batch"]


async def entry_after(client: Client, room: BigRoom, since: str, *, lazy: bool) -> Json:
    """The room's first entry after a token."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            entries, since = await joined_rooms(client, lazy=lazy, since=since)
            if room.id in entries:
                entry: Json = entries[room.id]
                return entry


async def members(client: Client, room: BigRoom) -> set[str]:
    """The joined members; waits until all are known."""
    path = f"/v3/rooms/{quote(room.id)}/joined_members"
    response = await client.get(path)
    assert response.status == 200, response.body
    return set(response.json["joined"])


def events_of(entry: dict[str, Any]) -> set[str]:
    """The IDs of the events in a room's timeline."""
    return {event["event_id"] for event in entry["timeline"]["events"]}


async def arrived(client: Client, room: BigRoom, built: BuiltEvent) -> bool:
    """Whether an event is in the timeline."""
    event_id = quote(built.event.event_id)
    response = await client.get(f"/v3/rooms/{quote(room.id)}/event/{event_id}")
    return response.status == 200


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
    assert await arrived(bob, room, late)
    assert not await two.db.all("SELECT * FROM rooms_deferred_events")


async def test_who_is_banned_is_shown_no_longer_when_that_is_known(
    bob: Client, room: BigRoom, remote: Remote, two: Server
) -> None:
    """A banned moderator names an old membership: what they do is undone."""
    mallory = room.user(5)
    was_joined = room.hosted.state["m.room.member", mallory]
    levels = {"users": {room.hosted.owner: 100, mallory: 60}, "events_default": 0}
    room.add("m.room.power_levels", levels, state_key="")
    room.add("m.room.member", {"membership": "ban"}, state_key=mallory)
    await join(bob, room.id, FAR)
    honest = list(room.hosted.events)
    room.hosted.events.append(was_joined)
    topic = room.add("m.room.topic", {"topic": "mine"}, sender=mallory, state_key="")
    said = room.say(mallory, "hello")
    room.hosted.events.remove(was_joined)
    answer = room.say(room.user(6), "what?")

    results = await remote.send(two, *map(room.pdu, [topic, said, answer]))

    assert set(map(str, results.values())) == {"{}"}
    _, token = await joined_rooms(bob, lazy=True)
    room.released.set()
    assert mallory not in await members(bob, room)
    entry = await entry_after(bob, room, token, lazy=True)
    assert answer.event.event_id in events_of(entry)
    assert not {topic.event.event_id, said.event.event_id} & events_of(entry)
    assert not await arrived(bob, room, said)
    response = await bob.get(f"/v3/rooms/{quote(room.id)}/state/m.room.topic")
    assert error_of(response) == (404, "M_NOT_FOUND")
    state = await bob.get(f"/v3/rooms/{quote(room.id)}/state")
    assert len(state.json) == len({(e.event.type, e.event.state_key) for e in honest})


async def test_other_servers_are_asked_when_the_first_is_gone(
    bob: Client, room: BigRoom, remote: Remote, third: Remote
) -> None:
    room.serve(third)
    remote.answers["/v1/state_ids/"] = Refusal(500, "M_UNKNOWN")
    room.released.set()

    await join(bob, room.id, FAR)

    assert await members(bob, room) == {*room.member_ids, BOB}


async def test_a_state_that_forbids_the_join_is_not_believed(
    bob: Client, room: BigRoom, remote: Remote, third: Remote
) -> None:
    """The next server is asked."""
    room.serve(third)
    room.add("m.room.member", {"membership": "ban"}, state_key=BOB)
    lie = room.hosted.events.pop()
    told = iter([True])
    room.by_id[lie.event.event_id] = lie

    def tell_once(state: State) -> State:
        return {**state, lie.event.key: lie} if next(told, False) else state

    room.tell = tell_once
    remote.answers["/v1/state/"] = Refusal(404, "M_NOT_FOUND")
    room.released.set()

    await join(bob, room.id, FAR)

    assert await members(bob, room) == {*room.member_ids, BOB}


async def test_of_two_told_states_neither_is_believed_blindly(
    bob: Client, room: BigRoom
) -> None:
    """Who tells the rest cannot take back what was told at first."""
    old_levels = room.hosted.state["m.room.power_levels", ""]
    levels = {"users": {room.hosted.owner: 100}, "invite": 75}
    new = room.add("m.room.power_levels", levels, state_key="")
    room.tell = lambda state: {**state, old_levels.event.key: old_levels}
    room.released.set()

    await join(bob, room.id, FAR)

    assert await members(bob, room) == {*room.member_ids, BOB}
    path = f"/v3/rooms/{quote(room.id)}/state/m.room.power_levels"
    assert (await bob.get(path)).json == new.event.content


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


async def test_inviting_waits_until_it_is_known_who_is_in(
    bob: Client, room: BigRoom
) -> None:
    await join(bob, room.id, FAR)
    path = f"/v3/rooms/{quote(room.id)}/invite"

    asking = asyncio.ensure_future(bob.post(path, {"user_id": room.user(8)}))
    await joined_rooms(bob, lazy=True)
    assert not asking.done()
    room.released.set()

    assert error_of(await asking) == (403, "M_FORBIDDEN")


async def test_a_restart_goes_on(
    database_source: DatabaseSource, federation: Federation, tmp_path: Path
) -> None:
    """What came before is kept, and what is missing is asked for again."""
    far, third = add_remote(federation, FAR), add_remote(federation, "third.test", 3)
    room = big_room(far, third)
    name = ServerName("two.test")
    config = replace(config_for(database_source, tmp_path), server_name=name)
    line = federation.network.line(name)
    async with running_server(config, transport=line) as server:
        await join(server.client(BOB), room.id, FAR)
        said = room.say(room.user(2), "before")
        assert await far.send(server, room.pdu(said)) == {said.event.event_id: {}}
    asked = len(federation.network.asked(FAR, "/v1/state_ids/"))

    async with running_server(config, transport=line) as server:
        server.users.add(UserId(BOB))
        bob = server.client(BOB)
        assert room.id in (await joined_rooms(bob, lazy=True))[0]
        room.released.set()
        assert await members(bob, room) == {*room.member_ids, BOB}
        assert await arrived(bob, room, said)
    assert len(federation.network.asked(FAR, "/v1/state_ids/")) == asked + 1


async def test_members_that_are_not_left_out_are_taken_as_before(
    bob: Client, room: BigRoom, federation: Federation
) -> None:
    """The resident server need not know ``omit_members``."""
    room.hosted.alter_answer = lambda answer: answer
    room.before_join = dict(room.hosted.state)

    await join(bob, room.id, FAR)

    [asked] = federation.network.asked(FAR, "/v2/send_join/")
    assert asked.uri.endswith("?omit_members=true")
    assert await members(bob, room) == {*room.member_ids, BOB}
    assert not federation.network.asked(FAR, "/v1/state")


async def test_who_is_there_has_to_be_said(bob: Client, room: BigRoom) -> None:
    """An answer without ``servers_in_room`` is none."""

    def without_servers(answer: Json) -> object:
        told = room.let_in(answer)
        del told["servers_in_room"]
        return told

    room.hosted.alter_answer = without_servers

    assert error_of(await join(bob, room.id, FAR)) == (502, "M_UNKNOWN")


async def test_in_the_first_room_version_members_are_asked_for(
    bob: Client, remote: Remote, third: Remote, federation: Federation
) -> None:
    """Its state resolution cannot do without them."""
    room = big_room(remote, third, "1")
    room.hosted.alter_answer = lambda answer: answer

    await join(bob, room.id, FAR)

    [asked] = federation.network.asked(FAR, "/v2/send_join/")
    assert "omit_members" not in asked.uri
