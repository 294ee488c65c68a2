"""Events whose past is not here: what is asked for, and what is made of the answers."""

import pytest

from tests.rooms.federation.remote import (
    BOB,
    CAROL,
    KEY,
    UNKNOWN,
    Forged,
    Remote,
    ScriptedPeers,
)
from tremula.protocol.identifiers import EventId
from tremula.protocol.room_state import StateKey
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.protocol.signing import sign_event
from tremula.rooms.graph import Standing

TOPIC = ("m.room.topic", "")


async def test_events_in_between_are_asked_for(
    remote: Remote, peers: ScriptedPeers
) -> None:
    first = await remote.message()
    second = await remote.message(prev=[first.event_id])
    last = await remote.message(prev=[second.event_id])
    peers.missing = [second, first]

    receipt = await remote.send(last)

    assert receipt.standing is Standing.ACCEPTED
    expected = [each.event_id for each in (first, second, last)]
    assert (await remote.timeline())[-3:] == expected
    assert peers.asked == ["get_missing_events"]


async def test_events_that_lead_nowhere_are_not_taken_in(
    remote: Remote, peers: ScriptedPeers
) -> None:
    """CVE-2022-39200's way in: answers that hold what nobody asked for."""
    first = await remote.message()
    stray = await remote.message()
    peers.missing = [stray, first]

    await remote.send(await remote.message(prev=[first.event_id]))

    assert await remote.node(first) is not None
    assert await remote.node(stray) is None


async def test_without_help_an_event_is_refused(
    remote: Remote, peers: ScriptedPeers
) -> None:
    """It may come again, when its past can be had."""
    lost = await remote.message(prev=[UNKNOWN])

    receipt = await remote.send(lost)

    assert receipt.standing is None
    assert peers.asked == ["get_missing_events", "state_ids"]
    assert await remote.node(lost) is None


async def _tell_state(
    peers: ScriptedPeers, before: Forged, state: dict[StateKey, EventId]
) -> None:
    peers.states[before.event_id] = (list(state.values()), [])


async def test_the_state_before_is_asked_for_and_the_event_stored_upon_it(
    remote: Remote, peers: ScriptedPeers
) -> None:
    """What came between cannot be had, but what it made of the state."""
    await remote.promote(BOB)
    topic = await remote.topic("unseen", prev=[UNKNOWN])
    state = await remote.state() | {TOPIC: topic.event_id}
    peers.add(topic)
    event = await remote.message(prev=[UNKNOWN], state=state)
    await _tell_state(peers, event, state)

    receipt = await remote.send(event)

    assert receipt.standing is Standing.ACCEPTED
    node = await remote.node(event)
    view = await remote.engine.view(remote.room_id)
    assert node is not None
    before = await remote.engine.past.state_before(view, node)
    assert before is not None
    ids = await remote.engine.past.ids(before.values())
    assert {key: ids[nid] for key, nid in before.items()} == state
    assert topic.event_id not in await remote.timeline()
    gap = await remote.engine.past.newest_gap(view, up_to=view.room_pos)
    assert gap is not None
    assert gap.event_ids == (UNKNOWN,)


async def test_an_event_that_comes_late_fills_the_gap(
    remote: Remote, peers: ScriptedPeers
) -> None:
    """It is no extremity: others have followed it."""
    late = await remote.message()
    after = await remote.message(prev=[late.event_id])
    await _tell_state(peers, after, await remote.state())
    await remote.send(after)

    receipt = await remote.send(late)

    assert receipt.standing is Standing.ACCEPTED
    assert await remote.extremities() == [after.event_id]
    view = await remote.engine.view(remote.room_id)
    assert await remote.engine.past.newest_gap(view, up_to=view.room_pos) is None


async def test_an_outlier_that_comes_late_takes_its_place(
    remote: Remote, peers: ScriptedPeers
) -> None:
    """It was known from a told state; now it is seen, and news to clients."""
    await remote.promote(BOB)
    topic = await remote.topic("late")
    state = await remote.state() | {TOPIC: topic.event_id}
    after = await remote.message(prev=[topic.event_id])
    peers.add(topic)
    await _tell_state(peers, after, state)
    await remote.send(after)
    assert await remote.node(topic) is None
    since = remote.engine.journal.position

    receipt = await remote.send(topic)

    assert receipt.standing is Standing.ACCEPTED
    assert (await remote.timeline())[-1] == topic.event_id
    view = await remote.engine.view(remote.room_id)
    event = await remote.engine.events.get(view.nid, topic.event_id)
    assert event.journal_pos > since
    newest = await remote.engine.reader.newest_nids([view.nid])
    assert newest[view.nid] == event.journal_pos


async def test_cve_2022_39374_rejected_events_do_not_reenter_through_state(
    remote: Remote, peers: ScriptedPeers
) -> None:
    grab = await remote.event(BOB, "m.room.power_levels", {"users": {BOB: 100}}, "")
    assert (await remote.send(grab)).standing is Standing.REJECTED
    levels = ("m.room.power_levels", "")
    state = await remote.state()
    event = await remote.message(prev=[UNKNOWN])
    await _tell_state(peers, event, {**state, levels: grab.event_id})

    await remote.send(event)

    assert (await remote.state())[levels] != grab.event_id


async def test_an_event_of_a_told_state_is_judged_by_its_auth_events(
    remote: Remote, peers: ScriptedPeers
) -> None:
    """A server cannot say whatever it likes of a room."""
    state = await remote.state()
    topic = await remote.topic("forged")
    peers.add(topic)
    event = await remote.message(prev=[UNKNOWN])
    await _tell_state(peers, event, {**state, TOPIC: topic.event_id})

    await remote.send(event)

    assert TOPIC not in await remote.state()


@pytest.mark.parametrize("fault", ["twice", "create"])
async def test_a_state_that_cannot_be_this_rooms_is_refused(
    remote: Remote, peers: ScriptedPeers, fault: str
) -> None:
    state = await remote.state()
    event = await remote.message(prev=[UNKNOWN])
    if fault == "create":
        del state["m.room.create", ""]
        ids = list(state.values())
    else:
        rejoin = await remote.join(BOB)
        peers.add(rejoin)
        ids = [*state.values(), rejoin.event_id]
    peers.states[event.event_id] = (ids, [])

    assert (await remote.send(event)).standing is None


async def test_missing_auth_events_are_asked_for(
    remote: Remote, peers: ScriptedPeers
) -> None:
    """Carol has joined while the servers were apart."""
    join = await remote.join(CAROL)
    state = await remote.state() | {("m.room.member", CAROL): join.event_id}
    message = await remote.message(CAROL, prev=[join.event_id], state=state)
    peers.auth_chains[message.event_id] = [join]
    peers.missing = [join]

    receipt = await remote.send(message)

    assert receipt.standing is Standing.ACCEPTED
    assert peers.asked == ["event_auth", "get_missing_events"]
    assert (await remote.timeline())[-2:] == [join.event_id, message.event_id]


async def test_auth_events_that_nobody_has_make_an_event_refused(
    remote: Remote,
) -> None:
    state = await remote.state()
    message = await remote.message(auth=[*state.values(), UNKNOWN][-3:])

    assert (await remote.send(message)).standing is None


async def test_what_is_asked_for_one_transaction_is_bounded(
    remote: Remote, peers: ScriptedPeers
) -> None:
    """Else a few small events could have this server ask for ever."""
    lost = [
        await remote.message(prev=[EventId(f"${number:043}")]) for number in range(50)
    ]

    await remote.send(*lost)

    assert len(peers.asked) <= 40


@pytest.mark.parametrize("version", ["1"])
async def test_events_in_a_circle_are_refused(remote: Remote) -> None:
    """Only room versions whose event IDs are no hashes can have such."""
    first = await remote.message()
    second = await remote.message(prev=[first.event_id])
    first.pdu["prev_events"] = [[second.event_id, {}]]
    first.pdu["auth_events"].append([second.event_id, {}])
    pdu = sign_event(ROOM_VERSIONS["1"], {**first.pdu, "signatures": {}}, "remote", KEY)

    receipts = await remote.engine.receive(remote.room_id, pdu, second.pdu)

    assert [receipt.standing for receipt in receipts] == [None, None]
