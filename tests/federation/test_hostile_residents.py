"""Servers that are in a room, and answer to joins what nobody should believe."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.features.rooms import create_room, error_of
from tests.federation.hosted import HostedRoom, Json, hosted_room
from tests.federation.memberships import BOB, join, knock, leave, rooms, state_ids
from tests.federation.remote import FAR, Remote
from tests.http_client import Client
from tests.server import Server
from tremula.protocol.hashes import event_id_of
from tremula.protocol.identifiers import RoomId
from tremula.protocol.signing import sign_event

MALLORY = "@mallory:far.test"


@pytest.fixture
def room(remote: Remote) -> HostedRoom:
    return hosted_room(remote)


Alter = Callable[[Json], Any]


def event_with(**changes: object) -> Alter:
    """A template whose event is changed."""
    return lambda answer: {**answer, "event": {**answer["event"], **changes}}


def content_with(**changes: object) -> Alter:
    """A template whose content is changed."""
    return lambda answer: {
        **answer,
        "event": {
            **answer["event"],
            "content": {**answer["event"]["content"], **changes},
        },
    }


ID = "$" + "a" * 43

HOSTILE_TEMPLATES: dict[str, Alter] = {
    "another type": event_with(type="m.room.power_levels"),
    "another sender": event_with(sender="@other:two.test"),
    "another state_key": event_with(state_key="@other:two.test"),
    "no state_key": event_with(state_key=None),
    "another room": event_with(room_id="!other:far.test"),
    "another membership": content_with(membership="ban"),
    "no membership": event_with(content={}),
    "no content": event_with(content=None),
    "an unknown version": lambda answer: {**answer, "room_version": "99"},
    "a version that is none": lambda answer: {**answer, "room_version": 11},
    "no version": lambda answer: {"event": answer["event"]},
    "another version": lambda answer: {**answer, "room_version": "1"},
    "depth 0": event_with(depth=0),
    "negative depth": event_with(depth=-5),
    "depth past its limit": event_with(depth=2**53),
    "depth a float": event_with(depth=1.5),
    "depth a boolean": event_with(depth=True),
    "depth a text": event_with(depth="7"),
    "no depth": event_with(depth=None),
    "no prev_events": event_with(prev_events=[]),
    "21 prev_events": event_with(
        prev_events=[f"${number:043}" for number in range(21)]
    ),
    "prev_events twice": event_with(prev_events=[ID, ID]),
    "prev_events that are none": event_with(prev_events=["nonsense"]),
    "prev_events of numbers": event_with(prev_events=[1]),
    "prev_events an object": event_with(prev_events={ID: ID}),
    "no auth_events": event_with(auth_events=[]),
    "11 auth_events": event_with(
        auth_events=[f"${number:043}" for number in range(11)]
    ),
    "auth_events of pairs": event_with(auth_events=[[ID, {}]]),
    "authorised by another server": content_with(
        join_authorised_via_users_server="@victim:two.test"
    ),
    "authorised by nobody": content_with(join_authorised_via_users_server="nobody"),
    "no event": lambda answer: {"room_version": "11"},
    "a list": lambda answer: [answer],
    "a text": lambda answer: "hello",
}


@pytest.mark.parametrize("name", HOSTILE_TEMPLATES)
async def test_cve_2026_24471_no_hostile_template_of_a_join_is_signed(
    bob: Client, room: HostedRoom, name: str
) -> None:
    room.alter_template = HOSTILE_TEMPLATES[name]

    response = await join(bob, room.id, FAR)

    assert error_of(response) == (502, "M_UNKNOWN")
    assert not room.received
    assert not await rooms(bob, "join")


@pytest.mark.parametrize(
    "name", ["another type", "another sender", "another room", "another membership"]
)
async def test_cve_2026_24471_no_hostile_template_of_a_knock_is_signed(
    bob: Client, remote: Remote, name: str
) -> None:
    room = hosted_room(remote, join_rule="knock")
    room.alter_template = HOSTILE_TEMPLATES[name]

    assert error_of(await knock(bob, room.id, FAR)) == (502, "M_UNKNOWN")
    assert not room.received


@pytest.mark.parametrize(
    "name", ["another type", "another sender", "another room", "another membership"]
)
async def test_cve_2026_24471_no_hostile_template_of_a_leave_is_signed(
    bob: Client, two: Server, room: HostedRoom, name: str
) -> None:
    """The user is out of it all the same."""
    await invite(room, two)
    room.alter_template = HOSTILE_TEMPLATES[name]

    assert (await leave(bob, room.id)).status == 200
    assert not room.received
    assert list(await rooms(bob, "leave")) == [room.id]


async def invite(room: HostedRoom, server: Server) -> None:
    body = room.invitation(BOB)
    event_id = event_id_of(room.version, body["event"])
    response = await room.remote.ask(
        server, f"/v2/invite/{room.id}/{event_id}", method="PUT", content=body
    )
    assert response.status == 200, response.body


async def test_what_a_template_says_beside_the_graph_is_not_signed(
    bob: Client, room: HostedRoom
) -> None:
    room.alter_template = content_with(displayname="Evil", reason="paid", x=1)

    assert (await join(bob, room.id, FAR)).status == 200

    (signed,) = room.received
    assert signed["content"] == {"membership": "join", "displayname": "bob"}


@pytest.mark.parametrize("version", ["1", "3", "6", "10", "11", "12"])
async def test_a_room_of_a_hand_written_server_is_joined(
    bob: Client, remote: Remote, version: str
) -> None:
    """What the tests below change is otherwise right."""
    room = hosted_room(remote, version)
    room.add("m.room.name", {"name": "Far"})

    response = await join(bob, room.id, FAR)

    assert response.status == 200, response.body
    found = await state_ids(bob, room.id)
    for (event_type, state_key), built in room.state.items():
        assert found[f"{event_type}|{state_key}"] == built.event.event_id


def without(event_type: str) -> Alter:
    """An answer without the events of one type."""
    return lambda answer: {
        **answer,
        **{
            key: [event for event in answer[key] if event["type"] != event_type]
            for key in ("state", "auth_chain")
        },
    }


HOSTILE_ANSWERS: dict[str, Alter] = {
    "no create event": without("m.room.create"),
    "no member": without("m.room.member"),
    "nothing": lambda answer: {"state": [], "auth_chain": []},
    "members left out": lambda answer: {**answer, "members_omitted": True},
    "state an object": lambda answer: {**answer, "state": {"a": answer["state"]}},
    "state a text": lambda answer: {**answer, "state": "all"},
    "a list": lambda answer: [answer],
}


@pytest.mark.parametrize("name", HOSTILE_ANSWERS)
async def test_a_state_that_cannot_be_the_rooms_is_refused(
    bob: Client, two: Server, room: HostedRoom, name: str
) -> None:
    room.alter_answer = HOSTILE_ANSWERS[name]

    assert error_of(await join(bob, room.id, FAR)) == (502, "M_UNKNOWN")
    assert not await rooms(bob, "join")
    assert not await two.db.all("SELECT event_id FROM rooms_events")


async def test_a_state_with_two_events_at_one_key_is_refused(
    bob: Client, room: HostedRoom
) -> None:
    other = room.build("m.room.join_rules", {"join_rule": "public", "x": 1})
    room.alter_answer = lambda answer: {
        **answer,
        "state": [*answer["state"], room.pdu(other)],
    }

    assert error_of(await join(bob, room.id, FAR)) == (502, "M_UNKNOWN")


async def test_a_state_with_a_message_is_refused(bob: Client, room: HostedRoom) -> None:
    message = room.build("m.room.message", {"body": "hi"}, state_key=None)
    room.alter_answer = lambda answer: {
        **answer,
        "state": [*answer["state"], room.pdu(message)],
    }

    assert error_of(await join(bob, room.id, FAR)) == (502, "M_UNKNOWN")


async def test_a_create_event_of_another_version_is_refused(
    bob: Client, remote: Remote
) -> None:
    room = hosted_room(remote, "10")
    room.alter_template = lambda answer: {**answer, "room_version": "9"}

    assert error_of(await join(bob, room.id, FAR)) == (502, "M_UNKNOWN")


async def test_the_state_of_another_room_is_refused(
    bob: Client, remote: Remote
) -> None:
    other = hosted_room(remote)
    room = HostedRoom(remote, other.version, room_id=None)
    room.room_id = RoomId("!victim:elsewhere.test")
    room.events = other.events
    room.serve()

    assert error_of(await join(bob, room.id, FAR)) == (502, "M_UNKNOWN")


async def test_a_state_that_does_not_let_the_user_in_is_refused(
    bob: Client, remote: Remote
) -> None:
    room = hosted_room(remote, join_rule="invite")

    assert error_of(await join(bob, room.id, FAR)) == (502, "M_UNKNOWN")
    assert not await rooms(bob, "join")


async def test_a_state_in_which_the_user_is_banned_is_refused(
    bob: Client, room: HostedRoom
) -> None:
    room.add("m.room.member", {"membership": "ban"}, state_key=BOB)

    assert error_of(await join(bob, room.id, FAR)) == (502, "M_UNKNOWN")


def adding(pdu: Json) -> Alter:
    """An answer with one more event in the state."""
    return lambda answer: {**answer, "state": [*answer["state"], pdu]}


async def test_forged_members_are_left_out(bob: Client, room: HostedRoom) -> None:
    """Events that their senders' servers have not signed."""
    forged = room.build(
        "m.room.member",
        {"membership": "join"},
        sender="@victim:two.test",
        state_key="@victim:two.test",
    )
    room.alter_answer = adding(room.pdu(forged))

    assert (await join(bob, room.id, FAR)).status == 200
    assert "m.room.member|@victim:two.test" not in await state_ids(bob, room.id)


async def test_events_changed_on_their_way_are_left_out(
    bob: Client, room: HostedRoom
) -> None:
    topic = room.pdu(room.build("m.room.topic", {"topic": "true"}))
    room.alter_answer = adding({**topic, "origin_server_ts": 1})

    assert (await join(bob, room.id, FAR)).status == 200
    assert "m.room.topic|" not in await state_ids(bob, room.id)


async def test_of_changed_contents_the_redacted_copy_is_taken(
    bob: Client, room: HostedRoom
) -> None:
    topic = room.build("m.room.topic", {"topic": "true"})
    pdu = {**room.pdu(topic), "content": {"topic": "false"}}
    room.alter_answer = adding(pdu)

    assert (await join(bob, room.id, FAR)).status == 200
    shown = await bob.get(f"/v3/rooms/{room.id}/state/m.room.topic")
    assert shown.json == {}


async def test_cve_2022_39374_rejected_events_are_left_out_of_the_state(
    bob: Client, room: HostedRoom
) -> None:
    """Their auth events do not allow them, whoever puts them into a state."""
    levels = room.add(
        "m.room.power_levels",
        {"users": {MALLORY: 100}},
        sender=MALLORY,
    )
    room.events.remove(levels)
    room.alter_answer = lambda answer: {
        **answer,
        "state": [
            room.pdu(levels) if event["type"] == "m.room.power_levels" else event
            for event in answer["state"]
        ],
    }

    assert (await join(bob, room.id, FAR)).status == 200
    assert "m.room.power_levels|" not in await state_ids(bob, room.id)


async def test_events_of_other_rooms_are_left_out(
    bob: Client, remote: Remote, room: HostedRoom
) -> None:
    other = hosted_room(remote, "12")
    room.serve()
    room.alter_answer = adding(other.pdu(other.build("m.room.name", {"name": "x"})))

    assert (await join(bob, room.id, FAR)).status == 200
    assert "m.room.name|" not in await state_ids(bob, room.id)


async def test_auth_events_in_a_circle_are_left_out(
    bob: Client, remote: Remote
) -> None:
    """Only versions whose event IDs are no hashes can have some."""
    room = hosted_room(remote, "1")
    first = room.pdu(room.build("m.room.topic", {"topic": "first"}))
    second = room.pdu(room.build("m.room.name", {"name": "second"}))
    first = resigned(room, {**first, "auth_events": [[second["event_id"], {}]]})
    second = resigned(room, {**second, "auth_events": [[first["event_id"], {}]]})
    room.alter_answer = lambda answer: {
        **answer,
        "state": [*answer["state"], first, second],
    }

    assert (await join(bob, room.id, FAR)).status == 200
    found = await state_ids(bob, room.id)
    assert not {"m.room.topic|", "m.room.name|"} & found.keys()


def resigned(room: HostedRoom, pdu: Json) -> Json:
    unsigned = {key: pdu[key] for key in pdu if key != "signatures"}
    return sign_event(room.version, unsigned, room.remote.name, room.remote.key)


async def test_the_next_server_helps_where_the_first_lies(
    alice: Client, bob: Client, room: HostedRoom
) -> None:
    room_id = await create_room(alice, preset="public_chat")

    response = await join(bob, room_id, FAR, "one.test")

    assert response.status == 200


async def test_a_join_that_is_not_countersigned_is_refused(
    bob: Client, remote: Remote
) -> None:
    """A restricted room: who vouches for the join has to sign it."""
    room = hosted_room(remote, join_rule="restricted")
    room.alter_template = content_with(join_authorised_via_users_server=str(room.owner))
    for alter in (
        lambda answer: {**answer, "event": None},
        lambda answer: {**answer, "event": room.received[-1]},
    ):
        room.alter_answer = alter
        assert error_of(await join(bob, room.id, FAR)) == (502, "M_UNKNOWN")

    room.alter_answer = lambda answer: answer
    assert (await join(bob, room.id, FAR)).status == 200


async def test_a_countersigned_event_that_differs_is_not_taken_over(
    bob: Client, remote: Remote
) -> None:
    """Of the returned event, nothing but the signatures counts."""
    room = hosted_room(remote)
    room.alter_answer = lambda answer: {
        **answer,
        "event": {**answer["event"], "content": {"membership": "ban"}},
    }

    assert (await join(bob, room.id, FAR)).status == 200
    assert list(await rooms(bob, "join")) == [room.id]
