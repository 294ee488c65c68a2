"""Rooms with more than one end: what local events name, and which state holds where."""

import asyncio

import pytest

from tests.query_counter import counted
from tests.rooms.federation.remote import BOB, CAROL, Remote
from tests.rooms.federation.servers import Engine
from tremula.protocol.identifiers import DeviceId, EventId
from tremula.protocol.room_state import StateKey
from tremula.rooms.events import Draft, PersistedEvent, TxnKey
from tremula.rooms.graph import Standing
from tremula.rooms.room import EVENT_TOPIC

TOPIC = ("m.room.topic", "")
NAME = ("m.room.name", "")
TABLES = (
    "rooms_events",
    "rooms_state_changes",
    "rooms_branches",
    "rooms_extremities",
    "rooms_missing_events",
    "rooms_early_redactions",
)


async def _rows(engine: Engine) -> dict[str, int]:
    """How many rows the room engine's tables have."""
    counts = await engine.database.all(
        """
        SELECT (SELECT COUNT(*) FROM rooms_events),
               (SELECT COUNT(*) FROM rooms_state_changes),
               (SELECT COUNT(*) FROM rooms_branches),
               (SELECT COUNT(*) FROM rooms_extremities),
               (SELECT COUNT(*) FROM rooms_missing_events),
               (SELECT COUNT(*) FROM rooms_early_redactions)
        """
    )
    return dict(zip(TABLES, counts[0], strict=True))


async def _growth(engine: Engine, before: dict[str, int]) -> dict[str, int]:
    after = await _rows(engine)
    return {
        each: after[each] - before[each]
        for each in TABLES
        if after[each] != before[each]
    }


async def _state_before(remote: Remote, event_id: EventId) -> dict[StateKey, EventId]:
    view = await remote.engine.view(remote.room_id)
    node = await remote.node(event_id)
    assert node is not None
    state = await remote.engine.past.state_before(view, node)
    assert state is not None
    ids = await remote.engine.past.ids(state.values())
    return {key: ids[nid] for key, nid in state.items()}


async def test_a_local_event_names_all_extremities(remote: Remote) -> None:
    first, second = await remote.message(), await remote.message()
    await remote.send(first)
    await remote.send(second)
    assert set(await remote.extremities()) == {first.event_id, second.event_id}

    event_id = await remote.engine.send(remote.room_id, remote.alice)

    pdu = await remote.engine.pdu(remote.room_id, event_id)
    assert set(pdu["prev_events"]) == {first.event_id, second.event_id}
    assert await remote.extremities() == [event_id]


async def test_the_depth_is_one_more_than_that_of_the_deepest(remote: Remote) -> None:
    first, second = await remote.message(depth=70), await remote.message(depth=30)
    await remote.send(first, second)

    event_id = await remote.engine.send(remote.room_id, remote.alice)

    assert (await remote.engine.pdu(remote.room_id, event_id))["depth"] == 71


async def test_a_linear_room_stores_nothing_but_events_and_changes(
    remote: Remote,
) -> None:
    """The blueprint's "such a room stores one row a state event and nothing else"."""
    await remote.promote(BOB)
    before = await _rows(remote.engine)

    for number in range(5):
        await remote.send(await remote.message())
        await remote.send(await remote.topic(f"{number}"))
        await remote.engine.send(remote.room_id, remote.alice)

    assert await _growth(remote.engine, before) == {
        "rooms_events": 15,
        "rooms_state_changes": 5,
    }


async def test_forked_messages_store_no_state(remote: Remote) -> None:
    """While the room is forked, its extremities are stored, and nothing else."""
    before = await _rows(remote.engine)
    ends = await remote.extremities()

    for _ in range(5):
        message = await remote.message(prev=ends)
        await remote.send(message)
    forked = await _growth(remote.engine, before)
    await remote.engine.send(remote.room_id, remote.alice)

    assert forked == {"rooms_events": 5, "rooms_extremities": 5}
    assert await _growth(remote.engine, before) == {"rooms_events": 6}


async def test_a_fork_of_the_state_stores_what_differs(remote: Remote) -> None:
    """A run of state events beside the live one is one branch, a row an event."""
    await remote.promote(BOB)
    fork = await remote.topic("0", ts=1)
    await remote.set_state("m.room.topic", {"topic": "live"})
    await remote.send(fork)
    before = await _rows(remote.engine)

    last = fork
    for number in range(1, 6):
        last = await remote.event(
            BOB, "org.example.own", {}, f"{number}", prev=[last.event_id]
        )
        await remote.send(last)

    growth = await _growth(remote.engine, before)
    # A row for the branch, another for the live view.
    assert growth == {"rooms_events": 5, "rooms_state_changes": 10}


async def test_a_side_branch_that_loses_does_not_change_the_room(
    remote: Remote,
) -> None:
    """Both are allowed; of two topics, the later by the rules of the room stays."""
    await remote.promote(BOB)
    older = await remote.topic("older", ts=1)
    event_id = await remote.set_state("m.room.topic", {"topic": "newer"})

    receipt = await remote.send(older)

    assert receipt.standing is Standing.ACCEPTED
    assert (await remote.state())[TOPIC] == event_id
    assert (await remote.timeline())[-1] == older.event_id


async def test_what_resolution_changes_is_read_from_there_on(remote: Remote) -> None:
    """The live view: clients that look at a place see the state as it was then."""
    await remote.promote(BOB)
    newer = await remote.topic("newer", ts=2**50)
    event_id = await remote.set_state("m.room.topic", {"topic": "older"})

    await remote.send(newer)

    view = await remote.engine.view(remote.room_id)
    reader = remote.engine.reader
    ids = await remote.engine.past.ids(
        [
            (await reader.state_at(view, view.room_pos - 1))[TOPIC],
            (await reader.state_at(view, view.room_pos))[TOPIC],
        ]
    )
    assert list(ids.values()) == [event_id, newer.event_id]


@pytest.mark.parametrize(("ts", "is_resolved"), [(1, True), (2**50, False)])
async def test_it_is_announced_that_an_event_is_not_all_that_changes(
    remote: Remote, ts: int, *, is_resolved: bool
) -> None:
    """A topic that comes late and loses: `/sync` must not take it for the topic."""
    await remote.promote(BOB)
    topic = await remote.topic("fork", ts=ts)
    await remote.set_state("m.room.topic", {"topic": "live"})
    engine = remote.engine
    since = engine.journal.position

    await remote.send(topic)

    view = await engine.view(remote.room_id)
    [(_, payload)] = engine.journal.tail(EVENT_TOPIC, view.nid, since) or []
    assert isinstance(payload, PersistedEvent)
    assert payload.changes_other_state is is_resolved


async def test_the_state_before_events_of_a_fork_is_that_of_their_branch(
    remote: Remote,
) -> None:
    await remote.promote(BOB)
    fork = await remote.topic("fork", ts=1)
    await remote.set_state("m.room.topic", {"topic": "live"})
    await remote.send(fork)
    renamed = await remote.event(
        BOB, "m.room.name", {"name": "x"}, "", prev=[fork.event_id]
    )
    await remote.send(renamed)
    last = await remote.message(prev=[renamed.event_id])
    await remote.send(last)

    assert TOPIC not in await _state_before(remote, fork.event_id)
    assert (await _state_before(remote, renamed.event_id))[TOPIC] == fork.event_id
    state = await _state_before(remote, last.event_id)
    assert (state[TOPIC], state[NAME]) == (fork.event_id, renamed.event_id)


async def test_branches_upon_branches_stay_short(remote: Remote) -> None:
    """Each event forks from the one before the last one."""
    await remote.promote(BOB)
    fork = await remote.topic("0", ts=1)
    await remote.set_state("m.room.topic", {"topic": "live"})
    await remote.send(fork)
    for number in range(30):
        event = await remote.event(
            BOB, "org.example.own", {"n": number}, f"{number}", prev=[fork.event_id]
        )
        twin = await remote.event(
            BOB, "org.example.twin", {"n": number}, "", prev=[fork.event_id]
        )
        await remote.send(event, twin)
        fork = twin

    last = await remote.message(prev=[fork.event_id])
    await remote.send(last)

    state = await _state_before(remote, last.event_id)
    assert state[TOPIC] != (await remote.state())[TOPIC]
    assert state["org.example.twin", ""] == fork.event_id
    assert not [key for key in state if key[0] == "org.example.own"]
    depths = await remote.engine.database.all(
        """
        WITH RECURSIVE chain (branch, base, depth) AS (
            SELECT branch, base_branch, 1 FROM rooms_branches
            UNION ALL
            SELECT c.branch, b.base_branch, c.depth + 1
            FROM chain c JOIN rooms_branches b ON b.branch = c.base
        )
        SELECT MAX(depth) FROM chain
        """
    )
    assert depths[0][0] <= 9


async def test_a_fork_costs_a_bounded_number_of_reads(remote: Remote) -> None:
    """However many events the room has, and whatever they were."""
    for _ in range(30):
        await remote.engine.send(remote.room_id, remote.alice)
    ends = await remote.extremities()
    await remote.engine.send(remote.room_id, remote.alice)
    message = await remote.message(prev=ends)

    with counted(remote.engine.database) as queries:
        await remote.send(message)

    assert len(queries.reads) <= 10


async def test_a_room_is_loaded_as_it_was_left(remote: Remote) -> None:
    await remote.send(await remote.join(CAROL))
    ends = await remote.extremities()
    await remote.send(await remote.message(prev=ends))
    await remote.send(await remote.message(CAROL, prev=ends))
    room = await remote.engine.registry.find(remote.room_id)
    assert room is not None
    remote.engine.registry.discard(room)

    again = await remote.engine.registry.find(remote.room_id)

    assert again is not None
    assert set(again.head.extremities) == set(room.head.extremities)
    assert len(again.head.extremities) == 2
    assert again.head.depth == room.head.depth


async def test_local_sends_wait_for_an_event_that_is_being_taken_in(
    remote: Remote,
) -> None:
    """None is built upon a head that is about to change."""
    ends = await remote.extremities()
    await remote.engine.send(remote.room_id, remote.alice)
    fork = await remote.message(prev=ends)
    room = await remote.engine.registry.find(remote.room_id)
    assert room is not None

    async with room.lock:
        sending = asyncio.ensure_future(
            remote.engine.send(remote.room_id, remote.alice)
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not sending.done()
        assert room.in_flight == 0
    await sending
    await remote.send(fork)

    assert set(await remote.extremities()) == {await sending, fork.event_id}


@pytest.mark.parametrize("version", ["2", "10"])
async def test_more_extremities_than_an_event_may_name(remote: Remote) -> None:
    """SS "PDUs": at most 20 previous events; the others stay for the next event."""
    await remote.promote(BOB)
    ends = await remote.extremities()
    topics = [
        await remote.topic(f"{n}", prev=ends, depth=20 + n, ts=100 - n)
        for n in range(14)
    ]
    await remote.send(*topics)
    # The newest topic is among those that are not named.
    assert (await remote.state())[TOPIC] == topics[0].event_id

    txn = TxnKey(DeviceId("D"), "t")
    draft = Draft("m.room.message", remote.alice, {"body": "hello"}, txn=txn)
    event_id = await remote.engine.append(remote.room_id, draft)
    assert await remote.engine.append(remote.room_id, draft) == event_id

    pdu = await remote.engine.pdu(remote.room_id, event_id)
    assert len(pdu["prev_events"]) == 10
    assert len(await remote.extremities()) == 5
    assert (await _state_before(remote, event_id))[TOPIC] == topics[4].event_id
    assert (await remote.state())[TOPIC] == topics[0].event_id
