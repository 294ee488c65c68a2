"""What is told of a room that was joined without its members, and what is believed."""

import dataclasses
from pathlib import Path
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from tests.conftest import DatabaseSource
from tests.features.rooms import error_of, send
from tests.federation.big_rooms import (
    BigRoom,
    State,
    arrived,
    arrives,
    big_room,
    entry_after,
    events_of,
    joined_rooms,
    members,
)
from tests.federation.hosted import Json
from tests.federation.memberships import BOB, join
from tests.federation.network import Federation
from tests.federation.remote import FAR, Refusal, Remote, add_remote
from tests.federation.rooms import Inbox, bodies
from tests.http_client import Client
from tests.server import Server, config_for, running_server
from tremula.protocol.identifiers import ServerName, UserId
from tremula.rooms.graph import Standing


@pytest.fixture
def room(remote: Remote, third: Remote) -> BigRoom:
    return big_room(remote, third)


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
    await arrives(bob, room, answer)
    entry = await entry_after(bob, room, token, lazy=True)
    assert answer.event.event_id in events_of(entry)
    assert not {topic.event.event_id, said.event.event_id} & events_of(entry)
    short = await first_timeline(bob, room.id, limit=2)
    assert answer.event.event_id in short
    assert not {topic.event.event_id, said.event.event_id} & short
    assert not await arrived(bob, room, said)
    response = await bob.get(f"/v3/rooms/{quote(room.id)}/state/m.room.topic")
    assert error_of(response) == (404, "M_NOT_FOUND")
    state = await bob.get(f"/v3/rooms/{quote(room.id)}/state")
    assert len(state.json) == len({(e.event.type, e.event.state_key) for e in honest})


async def test_nothing_is_unread_that_is_shown_no_longer(
    bob: Client, room: BigRoom, remote: Remote, two: Server
) -> None:
    mallory = room.user(5)
    was_joined = room.hosted.state["m.room.member", mallory]
    room.add("m.room.member", {"membership": "ban"}, state_key=mallory)
    await join(bob, room.id, FAR)
    room.hosted.events.insert(-1, was_joined)
    said = room.say(mallory, "hello")
    room.hosted.events.remove(was_joined)
    answer = room.say(room.user(6), "what?")
    await remote.send(two, *map(room.pdu, [said, answer]))
    rooms, _ = await joined_rooms(bob, lazy=True)
    assert rooms[room.id]["unread_notifications"]["notification_count"] == 2

    room.released.set()

    assert mallory not in await members(bob, room)
    rooms, _ = await joined_rooms(bob, lazy=True)
    assert rooms[room.id]["unread_notifications"]["notification_count"] == 1


async def first_timeline(client: Client, room_id: str, *, limit: int) -> set[str]:
    """The IDs of the newest events, as a client that is new is shown them."""
    wanted = f'{{"room":{{"timeline":{{"limit":{limit}}}}}}}'
    answer = (await client.get("/v3/sync", query={"filter": wanted})).json
    events = answer["rooms"]["join"][room_id]["timeline"]["events"]
    return {event["event_id"] for event in events}


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


async def test_who_is_really_there_is_sent_what_follows(
    bob: Client, room: BigRoom, third: Remote, federation: Federation
) -> None:
    """A server that was named is not in the room, and one that is was not."""
    inbox = Inbox()
    third.answers["/v1/send/"] = inbox.answer
    room.servers = [FAR, "two.test", "ghost.test", "no server name", 5]
    await join(bob, room.id, FAR)
    await send(bob, room.id, "who is there?")
    await federation.network.until_asked("ghost.test", "/v1/send/")
    assert not bodies(inbox)
    room.released.set()
    await members(bob, room)

    await send(bob, room.id, "hello")

    await inbox.until(lambda inbox: bodies(inbox) == ["hello"])


async def test_what_was_refused_without_knowing_counts_when_all_is_known(
    bob: Client, room: BigRoom, remote: Remote, two: Server
) -> None:
    """By its auth events a member's new name looked like a join that nobody allows."""
    user_id = room.user(2)
    room.add("m.room.member", {"membership": "leave"}, state_key=user_id)
    while_gone = list(room.hosted.events)
    again = {"membership": "join"}
    room.add("m.room.member", again, sender=user_id, state_key=user_id)
    room.add("m.room.join_rules", {"join_rule": "invite"}, state_key="")
    room.add("m.room.member", {"membership": "invite"}, state_key=BOB)
    await join(bob, room.id, FAR)
    newest = room.hosted.events[-1]
    renamed = dataclasses.replace(room.hosted, events=[*while_gone, newest]).build(
        "m.room.member",
        {"membership": "join", "displayname": "New"},
        sender=user_id,
        state_key=user_id,
    )
    room.by_id[renamed.event.event_id] = renamed

    results = await remote.send(two, room.pdu(renamed))

    assert "error" in results[renamed.event.event_id]
    room.released.set()
    assert user_id in await members(bob, room)
    row = await two.db.first(
        "SELECT standing, room_pos FROM rooms_events WHERE event_id = :event_id",
        event_id=renamed.event.event_id,
    )
    assert row == (Standing.SOFT_FAILED, None)


async def test_only_so_many_events_wait(
    bob: Client,
    room: BigRoom,
    remote: Remote,
    two: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tremula.rooms.receiving.DEFERRED_MAX", 1)
    unheard = room.say(room.user(1), "nobody has this")
    late = [room.say(room.user(1), str(number)) for number in range(2)]
    for each in (unheard, *late):
        room.by_id[each.event.event_id] = each
        room.hosted.events.remove(each)
    await join(bob, room.id, FAR)
    remote.answers["/v1/get_missing_events/"] = {"events": []}

    results = await remote.send(two, *map(room.pdu, late))

    assert results[late[0].event.event_id] == {}
    assert "error" in results[late[1].event.event_id]


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
