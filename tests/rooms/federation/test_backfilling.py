"""Gaps in a room's timeline, filled with what a peer says has been there."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.rooms.federation.remote import (
    BOB,
    CAROL,
    UNKNOWN,
    Forged,
    Remote,
    ScriptedPeers,
)
from tremula.infra.journal import JournalUnit
from tremula.protocol.identifiers import EventId
from tremula.rooms import relations_storage
from tremula.rooms.event_store import END_POS
from tremula.rooms.events import StoredEvent
from tremula.rooms.graph import Standing
from tremula.rooms.history_gaps import HistoryGap
from tremula.rooms.marking import Upcoming
from tremula.rooms.staging import Staged, StateAround
from tremula.rooms.view import RoomView


@dataclass(frozen=True, slots=True)
class Filling:
    """A room whose newest event names one that is missing."""

    remote: Remote
    peers: ScriptedPeers

    async def open_gap(self, *missing: EventId) -> EventId:
        """Take in an event of Bob's that names *missing*."""
        newest = await self.remote.message(prev=missing)
        state = await self.remote.state()
        self.peers.states[newest.event_id] = (list(state.values()), [])
        receipt = await self.remote.send(newest)
        assert receipt.reason is None
        return newest.event_id

    async def gap(self) -> HistoryGap | None:
        view = await self.remote.engine.view(self.remote.room_id)
        return await self.remote.engine.past.newest_gap(view, up_to=END_POS)

    async def fill(self, *page: Forged) -> bool:
        """Fill the newest gap by a peer that answers *page*."""
        gap = await self.gap()
        assert gap is not None
        if page:
            self.peers.pages.append(page)
        return await self.remote.engine.rooms.fill_gap(self.remote.room_id, gap)


@pytest.fixture
def filling(remote: Remote, peers: ScriptedPeers) -> Filling:
    return Filling(remote, peers)


async def test_events_get_their_places_before_the_gap(filling: Filling) -> None:
    remote = filling.remote
    here = await remote.timeline()
    first = await remote.message()
    second = await remote.message(prev=[first.event_id])
    newest = await filling.open_gap(second.event_id)

    assert await filling.fill(second, first)

    expected = [*here, first.event_id, second.event_id, newest]
    assert await remote.timeline() == expected
    assert await filling.gap() is None
    node = await remote.node(first)
    assert node is not None
    assert (node.standing, node.place) == (Standing.BACKFILLED, None)


async def test_what_is_missing_further_back_is_the_next_gap(filling: Filling) -> None:
    remote = filling.remote
    second = await remote.message(prev=[UNKNOWN])
    newest = await filling.open_gap(second.event_id)

    assert await filling.fill(second)

    gap = await filling.gap()
    assert gap is not None
    assert gap.event_ids == (UNKNOWN,)
    assert (await remote.timeline())[-2:] == [second.event_id, newest]


async def test_cve_2026_45076_a_page_of_rejected_events_moves_the_gap(
    filling: Filling,
) -> None:
    """Nothing of it is shown, but what came before it can be asked for."""
    remote = filling.remote
    good = await remote.message()
    # Carol is not in the room.
    bad = await remote.message(CAROL, prev=[good.event_id])
    newest = await filling.open_gap(bad.event_id)
    here = await remote.timeline()

    assert await filling.fill(bad)
    assert await remote.timeline() == here
    gap = await filling.gap()
    assert gap is not None
    assert gap.event_ids == (good.event_id,)

    assert await filling.fill(good)
    assert (await remote.timeline())[-2:] == [good.event_id, newest]
    assert await remote.node(bad) is None


async def test_events_that_do_not_lead_to_the_gap_are_left_out(
    filling: Filling,
) -> None:
    remote = filling.remote
    stray = await remote.message()
    missing = await remote.message(prev=[UNKNOWN])
    await filling.open_gap(missing.event_id)

    assert await filling.fill(missing, stray)

    assert stray.event_id not in await remote.timeline()
    assert await remote.node(stray) is None


async def test_nobody_is_asked_again_for_a_minute_after_nobody_could_help(
    filling: Filling,
) -> None:
    remote, peers = filling.remote, filling.peers
    missing = await remote.message()
    await filling.open_gap(missing.event_id)

    assert not await filling.fill()
    assert peers.asked.count("backfill") == 1
    assert not await filling.fill(missing)
    assert peers.asked.count("backfill") == 1

    remote.engine.clock.advance_ms(61_000)
    assert await filling.fill()


async def test_what_was_known_from_a_state_only_gets_its_place(
    filling: Filling,
) -> None:
    remote = filling.remote
    await remote.promote(BOB)
    topic = await remote.topic("aspens")
    newest = await remote.message(prev=[topic.event_id])
    state = {**await remote.state(), ("m.room.topic", ""): topic.event_id}
    filling.peers.states[newest.event_id] = (list(state.values()), [])
    filling.peers.add(topic)
    await remote.send(newest)
    assert topic.event_id not in await remote.timeline()

    assert await filling.fill(topic)

    assert (await remote.timeline())[-2:] == [topic.event_id, newest.event_id]
    view = await remote.engine.view(remote.room_id)
    found = await remote.engine.events.find(view.nid, topic.event_id)
    assert found is not None
    assert found.is_in_timeline


async def test_auth_events_that_are_not_here_are_asked_for(filling: Filling) -> None:
    remote = filling.remote
    join = await remote.join(CAROL)
    state = await remote.state()
    state[("m.room.member", CAROL)] = join.event_id
    said = await remote.message(CAROL, prev=[UNKNOWN], state=state)
    newest = await filling.open_gap(said.event_id)
    filling.peers.add(join)

    assert await filling.fill(said)

    assert (await remote.timeline())[-2:] == [said.event_id, newest]


async def test_an_event_without_its_auth_events_is_gone_over(filling: Filling) -> None:
    remote = filling.remote
    said = await remote.message(prev=[UNKNOWN], auth=[EventId("$" + "n" * 43)])
    newest = await filling.open_gap(said.event_id)

    assert await filling.fill(said)

    assert (await remote.timeline())[-1] == newest
    assert said.event_id not in await remote.timeline()
    gap = await filling.gap()
    assert gap is not None
    assert gap.event_ids == (UNKNOWN,)


async def test_a_redaction_works_on_what_comes_with_it_or_later(
    filling: Filling,
) -> None:
    remote = filling.remote
    first = await remote.message(prev=[UNKNOWN])
    second = await remote.message(prev=[first.event_id])
    redacts_first = await remote.event(
        BOB,
        "m.room.redaction",
        {},
        redacts=first.event_id,
        prev=[second.event_id],
    )
    redacts_second = await remote.event(
        BOB,
        "m.room.redaction",
        {},
        redacts=second.event_id,
        prev=[redacts_first.event_id],
    )
    await filling.open_gap(redacts_second.event_id)

    assert await filling.fill(redacts_second, redacts_first, second)
    assert await filling.fill(first)

    view = await remote.engine.view(remote.room_id)
    for event in (first, second):
        found = await remote.engine.events.get(view.nid, event.event_id)
        assert found.content == {}
        assert found.redacted_by_nid is not None


@dataclass(frozen=True, slots=True)
class _Unmarked:
    """Notes what is to be told to nobody any more."""

    room_positions: list[int]

    async def prepare(self, view: RoomView, upcoming: Sequence[Upcoming]) -> None:
        pass

    def mark(
        self, unit: JournalUnit, view: RoomView, item: Staged, around: StateAround
    ) -> None:
        pass

    def unmark(self, unit: JournalUnit, target: StoredEvent, *, pos: int) -> None:
        self.room_positions.append(target.room_pos)


async def test_a_redaction_that_was_missed_works_on_what_was_here_before(
    filling: Filling,
) -> None:
    remote, engine = filling.remote, filling.remote.engine
    parent = await remote.message()
    await remote.send(parent)
    relation = {"rel_type": "m.thread", "event_id": parent.event_id}
    content = {"body": "hello", "m.relates_to": relation}
    reply = await remote.event(BOB, "m.room.message", content)
    await remote.send(reply)
    redaction = await remote.redaction(reply.event_id)
    await filling.open_gap(redaction.event_id)
    unmarked = _Unmarked([])
    engine.registry.markers.add(unmarked)

    assert await filling.fill(redaction)

    view = await engine.view(remote.room_id)
    found = await engine.events.get(view.nid, reply.event_id)
    engine.events.cache.clear()
    stored = await engine.events.get(view.nid, reply.event_id)
    for event in (found, stored):
        assert event.content == {}
        assert event.redacted_by_nid is not None
    assert unmarked.room_positions == [found.room_pos]
    everywhere = (-END_POS, END_POS)
    children, threads = await relations_storage.aggregated(
        engine.database, view.nid, [parent.event_id], span=everywhere, references_max=1
    )
    assert (children, threads) == ([], [])


async def test_state_is_redacted_by_what_was_missed_as_well(filling: Filling) -> None:
    remote, engine = filling.remote, filling.remote.engine
    await remote.promote(BOB)
    topic = await remote.topic("secret")
    await remote.send(topic)
    redaction = await remote.redaction(topic.event_id)
    await filling.open_gap(redaction.event_id)

    assert await filling.fill(redaction)

    room = await engine.registry.find(remote.room_id)
    assert room is not None
    for state in (room.head.state, room.view.state):
        left = state.get(("m.room.topic", ""))
        assert left is not None
        assert left.content == {}
    assert room.view.content_of("m.room.topic") == {}


async def test_what_was_missed_redacts_nothing_without_power(filling: Filling) -> None:
    remote, engine = filling.remote, filling.remote.engine
    event_id = await engine.send(remote.room_id, remote.alice)
    redaction = await remote.redaction(event_id)
    await filling.open_gap(redaction.event_id)

    assert await filling.fill(redaction)

    view = await engine.view(remote.room_id)
    found = await engine.events.get(view.nid, event_id)
    assert found.content == {"body": "hello"}


async def test_what_was_filled_in_and_comes_again_stays_where_it_is(
    filling: Filling,
) -> None:
    remote = filling.remote
    missing = await remote.message()
    await filling.open_gap(missing.event_id)
    await filling.fill(missing)
    timeline = await remote.timeline()

    receipt = await remote.send(missing)

    assert receipt.reason is None
    assert await remote.timeline() == timeline
