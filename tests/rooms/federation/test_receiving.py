"""SS "Checks performed on receipt of a PDU", 4 to 6, and what follows from each."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.query_counter import counted
from tests.rooms.federation.remote import BOB, CAROL, UNKNOWN, Remote
from tests.rooms.federation.servers import Engine
from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import EventId, RoomId, ServerName
from tremula.protocol.room_state import StateKey
from tremula.rooms.events import PersistedEvent
from tremula.rooms.graph import Standing
from tremula.rooms.room import EVENT_TOPIC

CREATE = ("m.room.create", "")
LEVELS = ("m.room.power_levels", "")
RULES = ("m.room.join_rules", "")
TOPIC = ("m.room.topic", "")


async def test_the_next_event_is_accepted_and_shown(remote: Remote) -> None:
    message = await remote.message()

    receipt = await remote.send(message)

    assert receipt.standing is Standing.ACCEPTED
    assert (await remote.timeline())[-1] == message.event_id
    assert await remote.extremities() == [message.event_id]


async def test_the_next_event_costs_two_reads_and_one_statement(
    remote: Remote,
) -> None:
    """Whether it is known or was redacted; its auth events are in memory."""
    message = await remote.message()

    with counted(remote.engine.database) as queries:
        await remote.send(message)

    assert len(queries.reads) == 2
    [unit] = queries.units
    assert len(unit.statements) == 1


async def test_an_event_that_comes_again_is_stored_once(remote: Remote) -> None:
    message = await remote.message()
    await remote.send(message)
    before = await remote.timeline()

    receipt = await remote.send(message)

    assert receipt.standing is Standing.ACCEPTED
    assert await remote.timeline() == before


async def test_it_is_announced_as_our_own_events_are(remote: Remote) -> None:
    """To whoever listens, and to members who wait."""
    engine = remote.engine
    view = await engine.view(remote.room_id)
    since = engine.journal.position
    waiting = asyncio.ensure_future(engine.journal.wait(remote.alice, since, 30))
    await asyncio.sleep(0)
    message = await remote.message()

    await remote.send(message)

    assert await waiting
    tail = engine.journal.tail(EVENT_TOPIC, view.nid, since)
    assert tail is not None
    [(pos, payload)] = tail
    assert isinstance(payload, PersistedEvent)
    assert payload.stored.event_id == message.event_id
    assert pos == engine.journal.position


async def test_memberships_of_our_users_change_with_events_of_others(
    remote: Remote,
) -> None:
    await remote.promote(BOB)
    dave = remote.engine.user("dave")

    await remote.send(await remote.member(BOB, dave, "invite"))

    rooms = await remote.engine.memberships.of_user(dave)
    [room] = rooms.values()
    assert (room.membership, room.room_id) == ("invite", remote.room_id)


async def test_an_unknown_room_is_not_found(remote: Remote) -> None:
    with pytest.raises(NotFound):
        await remote.engine.rooms.receive(
            RoomId("!none:test"), [], origin=ServerName("remote")
        )


# Rejection by the auth events


async def _is_rejected(
    remote: Remote, *selected: StateKey, more: Sequence[EventId] = ()
) -> bool:
    """Whether a message with these auth events is rejected."""
    state = await remote.state()
    auth = [state[key] for key in selected]
    message = await remote.message(auth=[*auth, *more])
    receipt = await remote.send(message)
    return receipt.standing is Standing.REJECTED


async def test_cve_2022_31152_an_auth_event_too_many_is_rejected(
    remote: Remote,
) -> None:
    """Of those that the selection algorithm does not name."""
    member = ("m.room.member", BOB)

    assert await _is_rejected(remote, CREATE, LEVELS, member, RULES)


async def test_an_auth_event_that_is_no_state_event_is_rejected(
    remote: Remote,
) -> None:
    message = await remote.message()
    await remote.send(message)
    member = ("m.room.member", BOB)

    assert await _is_rejected(remote, CREATE, LEVELS, member, more=[message.event_id])


async def test_two_auth_events_of_one_key_are_rejected(remote: Remote) -> None:
    before = (await remote.state())[LEVELS]
    await remote.promote(BOB)
    member = ("m.room.member", BOB)

    assert await _is_rejected(remote, CREATE, LEVELS, member, more=[before])


async def test_cve_2022_31152_an_auth_event_named_twice_is_rejected(
    remote: Remote,
) -> None:
    member = ("m.room.member", BOB)

    assert await _is_rejected(remote, CREATE, LEVELS, LEVELS, member)


async def test_an_auth_event_of_another_room_is_rejected(remote: Remote) -> None:
    """Cross-room authority."""
    engine = remote.engine
    other = await engine.create("10", remote.alice)
    levels = (await engine.state(other))[LEVELS]
    member = ("m.room.member", BOB)

    assert await _is_rejected(remote, CREATE, member, more=[levels])


async def test_cve_2022_31152_no_create_event_among_the_auth_events_is_rejected(
    remote: Remote,
) -> None:
    assert await _is_rejected(remote, LEVELS, ("m.room.member", BOB))


async def test_a_rejected_auth_event_makes_an_event_rejected(remote: Remote) -> None:
    """Bob has no power to make himself powerful, nor to go on as if he had it."""
    grab = await remote.event(BOB, "m.room.power_levels", {"users": {BOB: 100}}, "")
    assert (await remote.send(grab)).standing is Standing.REJECTED
    state = await remote.state() | {LEVELS: grab.event_id}
    topic = await remote.topic("mine", state=state)

    receipt = await remote.send(topic)

    assert receipt.standing is Standing.REJECTED
    assert TOPIC not in await remote.state()


async def test_what_its_auth_events_do_not_allow_is_rejected(remote: Remote) -> None:
    receipt = await remote.send(await remote.topic("mine"))

    assert receipt.standing is Standing.REJECTED
    assert receipt.reason


# Rejection by the state before


async def test_what_the_state_before_does_not_allow_is_rejected(
    remote: Remote,
) -> None:
    """Old power levels as auth events do not bring old power back."""
    await remote.promote(BOB)
    old = await remote.state()
    await remote.set_levels({remote.alice: 100})
    topic = await remote.topic("mine", state=old)

    receipt = await remote.send(topic)

    assert receipt.standing is Standing.REJECTED
    assert TOPIC not in await remote.state()


async def test_cve_2022_31152_leaving_out_the_power_levels_gains_nothing(
    remote: Remote,
) -> None:
    """What the auth events alone would allow, the state before does not."""
    await remote.set_state(
        "m.room.power_levels", {"users": {remote.alice: 100}, "events_default": 50}
    )

    assert await _is_rejected(remote, CREATE, ("m.room.member", BOB))


async def test_ghsa_grvv_h2f9_7v9c_the_default_level_of_events_is_read(
    remote: Remote,
) -> None:
    """It was taken for 0 whatever the power levels said."""
    await remote.set_state(
        "m.room.power_levels", {"users": {remote.alice: 100}, "events_default": 50}
    )

    receipt = await remote.send(await remote.message())

    assert receipt.standing is Standing.REJECTED


async def test_a_rejected_event_is_neither_shown_nor_built_upon(
    remote: Remote,
) -> None:
    timeline, ends = await remote.timeline(), await remote.extremities()
    topic = await remote.topic("mine")

    await remote.send(topic)

    assert await remote.timeline() == timeline
    assert await remote.extremities() == ends
    view = await remote.engine.view(remote.room_id)
    assert await remote.engine.events.find(view.nid, topic.event_id) is None


async def test_events_after_a_rejected_one_are_taken_in(remote: Remote) -> None:
    """The state after it is that before it."""
    topic = await remote.topic("mine")
    await remote.send(topic)
    message = await remote.message(prev=[topic.event_id])

    receipt = await remote.send(message)

    assert receipt.standing is Standing.ACCEPTED
    assert await remote.extremities() == [message.event_id]
    assert TOPIC not in await remote.state()


# Soft failure


async def test_evading_a_ban_is_soft_failed(remote: Remote) -> None:
    """SS "Soft failure": the event refers to the room as it was before the ban."""
    ends, state = await remote.extremities(), await remote.state()
    ban = await remote.set_state("m.room.member", {"membership": "ban"}, BOB)
    timeline = await remote.timeline()
    message = await remote.message(prev=ends, state=state)

    receipt = await remote.send(message)

    assert receipt.standing is Standing.SOFT_FAILED
    assert await remote.timeline() == timeline
    assert await remote.extremities() == [ban]
    assert await remote.node(message) is not None


async def test_an_event_after_a_soft_failed_one_ends_what_that_followed(
    remote: Remote,
) -> None:
    """The example of SS "Soft failure": D refers to both B and C."""
    await remote.promote(BOB)
    await remote.send(await remote.join(CAROL))
    ends, state = await remote.extremities(), await remote.state()
    ban = await remote.set_state("m.room.member", {"membership": "ban"}, BOB)
    topic = await remote.topic("evaded", prev=ends, state=state)
    await remote.send(topic)
    both = await remote.message(CAROL, prev=[ban, topic.event_id])

    receipt = await remote.send(both)

    assert receipt.standing is Standing.ACCEPTED
    assert await remote.extremities() == [both.event_id]
    # From room version 2 on, the ban comes before the topic.
    assert TOPIC not in await remote.state()


@pytest.mark.parametrize("version", ["1"])
async def test_a_soft_failed_event_may_become_state(remote: Remote) -> None:
    """ "it is possible for such events to appear in the current state of the room", as
    with the first algorithm, by which C is in the resolved state.
    """
    await remote.promote(BOB)
    await remote.send(await remote.join(CAROL))
    ends, state = await remote.extremities(), await remote.state()
    ban = await remote.set_state("m.room.member", {"membership": "ban"}, BOB)
    topic = await remote.topic("evaded", prev=ends, state=state)
    assert (await remote.send(topic)).standing is Standing.SOFT_FAILED
    both = await remote.message(CAROL, prev=[ban, topic.event_id])

    await remote.send(both)

    assert (await remote.state())[TOPIC] == topic.event_id
    view = await remote.engine.view(remote.room_id)
    [event] = [
        event
        for event in await remote.engine.reader.state_events(view)
        if event.type == "m.room.topic"
    ]
    assert event.content == {"topic": "evaded"}


async def test_one_bad_event_does_not_keep_out_the_others(remote: Remote) -> None:
    first = await remote.message()
    foreign = await remote.message(room_id=RoomId("!other:remote"))
    lost = await remote.message(prev=[UNKNOWN])
    last = await remote.message(prev=[first.event_id])

    receipts = await remote.engine.receive(
        remote.room_id, *(each.pdu for each in (last, foreign, lost, first))
    )

    assert [receipt.standing for receipt in receipts] == [
        Standing.ACCEPTED,
        None,
        None,
        Standing.ACCEPTED,
    ]
    assert (await remote.timeline())[-2:] == [first.event_id, last.event_id]


async def test_a_second_create_event_is_refused(remote: Remote) -> None:
    create = await remote.event(
        remote.alice, "m.room.create", {"creator": remote.alice}, "", prev=[], auth=[]
    )

    assert (await remote.send(create)).standing is None


async def test_previous_events_of_another_room_are_refused(remote: Remote) -> None:
    engine: Engine = remote.engine
    other = await engine.create("10", remote.alice)
    elsewhere = await engine.send(other, remote.alice)
    message = await remote.message(prev=[elsewhere])

    assert (await remote.send(message)).standing is None


async def test_a_previous_event_named_twice_counts_once(remote: Remote) -> None:
    first = await remote.message()
    await remote.send(first)
    second = await remote.message(prev=[first.event_id, first.event_id])
    await remote.send(second)

    event_id = await remote.engine.send(remote.room_id, remote.alice)

    assert await remote.extremities() == [event_id]
    assert (await remote.timeline())[-3:] == [
        first.event_id,
        second.event_id,
        event_id,
    ]


async def test_an_event_of_the_far_future_is_an_event(remote: Remote) -> None:
    """Nothing but clients' clocks depends on it."""
    message = await remote.message(ts=2**53 - 1)
    await remote.send(message)

    event_id = await remote.engine.send(remote.room_id, remote.alice)

    assert (await remote.timeline())[-2:] == [message.event_id, event_id]


async def test_depth_stops_at_its_limit(remote: Remote) -> None:
    """RV6: "If the room's depth is already at the limit, the depth must be set to the
    limit."
    """
    message = await remote.message(depth=2**53 - 1)
    await remote.send(message)

    event_id = await remote.engine.send(remote.room_id, remote.alice)

    pdu = await remote.engine.pdu(remote.room_id, event_id)
    assert pdu["depth"] == 2**53 - 1
    assert pdu["prev_events"] == [message.event_id]
