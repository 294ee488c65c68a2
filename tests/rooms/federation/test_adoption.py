"""Joining rooms of other servers: what is taken over, and what is not believed."""

import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.rooms.federation.servers import (
    Engine,
    Network,
    ToldRoom,
    join_event,
    running_engine,
    tell_room,
)
from tremula.infra.config.tree import SqliteFile
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.rooms.adoption import AlreadyResident
from tremula.rooms.events import Draft
from tremula.rooms.history_gaps import HistoryGap
from tremula.rooms.peers import PeerFailed
from tremula.rooms.storage import RoomRow, insert_room

TOPIC = ("m.room.topic", "")
LEVELS = ("m.room.power_levels", "")


@dataclass(frozen=True, slots=True)
class Joining:
    """The server under test, another one, and a room of that."""

    engine: Engine
    resident: Engine
    network: Network
    room_id: RoomId

    @property
    def alice(self) -> UserId:
        return self.engine.user("alice")

    @property
    def creator(self) -> UserId:
        return self.resident.user("creator")

    async def join(self) -> None:
        await self.network.join(self.room_id, self.alice, at="test", over="resident")

    async def told(self) -> ToldRoom:
        """What the resident server answers to Alice's join."""
        pdu = await join_event(self.room_id, self.alice, self.engine, self.resident)
        await self.resident.receive(self.room_id, pdu, origin="test")
        return await tell_room(self.room_id, pdu, self.resident)

    async def adopt(self, told: ToldRoom) -> EventId:
        return await self.engine.rooms.adopt(
            told.version,
            self.room_id,
            state=told.state,
            auth_chain=told.auth_chain,
            join_event=told.join_event,
        )

    async def set_topic(self, topic: str) -> EventId:
        draft = Draft("m.room.topic", self.creator, {"topic": topic}, "")
        return await self.resident.append(self.room_id, draft)

    async def timeline(self) -> list[EventId]:
        view = await self.engine.view(self.room_id)
        events = await self.engine.events.forwards(view.nid, limit=100)
        return [event.event_id for event in events]


@pytest.fixture
def version() -> str:
    return "12"


@pytest.fixture
async def joining(
    engine: Engine, tmp_path: Path, version: str
) -> AsyncIterator[Joining]:
    network = Network({"test": engine})
    source = SqliteFile(tmp_path / "resident.db")
    async with running_engine("resident", source) as resident:
        network.engines["resident"] = resident
        room_id = await resident.create(version, resident.user("creator"))
        yield Joining(engine, resident, network, room_id)


@pytest.mark.parametrize("version", ["1", "6", "12"])
async def test_the_state_is_taken_over_and_the_join_comes_first(
    joining: Joining,
) -> None:
    topic = await joining.set_topic("before")

    await joining.join()

    state = await joining.engine.state(joining.room_id)
    assert state == await joining.resident.state(joining.room_id)
    assert await joining.timeline() == [state["m.room.member", joining.alice]]
    view = await joining.engine.view(joining.room_id)
    assert view.room_pos == 1
    rooms = await joining.engine.memberships.of_user(joining.alice)
    assert [room.membership for room in rooms.values()] == ["join"]
    gap = await joining.engine.past.newest_gap(view, up_to=view.room_pos)
    assert gap == HistoryGap(1, (topic,))


async def test_the_room_goes_on_as_any_other(joining: Joining) -> None:
    await joining.join()

    event_id = await joining.engine.send(joining.room_id, joining.alice)
    pdu = await joining.engine.pdu(joining.room_id, event_id)
    (receipt,) = await joining.resident.receive(joining.room_id, pdu, origin="test")

    assert receipt.reason is None
    answer = await joining.resident.send(joining.room_id, joining.creator)
    pdu = await joining.resident.pdu(joining.room_id, answer)
    (receipt,) = await joining.engine.receive(joining.room_id, pdu)
    assert receipt.reason is None
    assert (await joining.timeline())[1:] == [event_id, answer]


async def test_an_adopted_room_is_loaded_as_it_was_left(joining: Joining) -> None:
    await joining.join()
    before = await joining.engine.registry.find(joining.room_id)
    assert before is not None
    joining.engine.registry.discard(before)

    after = await joining.engine.registry.find(joining.room_id)

    assert after is not None
    assert after.head.extremities == before.head.extremities
    assert set(after.head.state) == set(before.head.state)


async def test_state_that_its_auth_events_do_not_allow_is_left_out(
    joining: Joining,
) -> None:
    """CVE-2022-39374, when joining: the topic is of somebody who was never there."""
    topic = await joining.set_topic("before")
    told = await joining.told()
    members = [
        each.event.event_id for each in told.state if each.event.type == "m.room.member"
    ]
    forged = [
        replace(
            each,
            stored=replace(
                each.stored,
                event=replace(each.event, sender=UserId("@mallory:resident")),
            ),
        )
        if each.event.event_id == topic
        else each
        for each in told.state
    ]

    await joining.adopt(dataclasses.replace(told, state=forged))

    state = await joining.engine.state(joining.room_id)
    assert TOPIC not in state
    assert set(members) <= set(state.values())


async def test_state_whose_auth_events_are_not_told_is_left_out(
    joining: Joining,
) -> None:
    """What cannot be judged is not believed."""
    await joining.set_topic("before")
    old_levels = (await joining.resident.state(joining.room_id))[LEVELS]
    await joining.resident.append(
        joining.room_id,
        Draft("m.room.power_levels", joining.creator, {"users": {}, "ban": 60}, ""),
    )
    told = await joining.told()
    chain = [e for e in told.auth_chain if e.event.event_id != old_levels]

    with pytest.raises(PeerFailed):
        # Not even the join can be: all lean on those power levels.
        await joining.adopt(dataclasses.replace(told, auth_chain=chain))


async def test_a_state_without_its_create_event_is_refused(joining: Joining) -> None:
    told = await joining.told()
    state = [each for each in told.state if each.event.type != "m.room.create"]

    with pytest.raises(PeerFailed):
        await joining.adopt(dataclasses.replace(told, state=state))


async def test_a_state_of_another_room_is_refused(joining: Joining) -> None:
    """Of whichever room the answer is, it is asked for this one."""
    other = await joining.resident.create("12", joining.creator)
    told = await dataclasses.replace(joining, room_id=other).told()

    with pytest.raises(PeerFailed):
        await joining.adopt(told)

    assert await joining.engine.reader.find_room(joining.room_id) is None


async def test_a_state_of_another_version_is_refused(joining: Joining) -> None:
    told = await joining.told()

    with pytest.raises(PeerFailed):
        await joining.adopt(dataclasses.replace(told, version=ROOM_VERSIONS["11"]))


async def test_a_state_with_two_events_at_one_key_is_refused(
    joining: Joining,
) -> None:
    await joining.set_topic("old")
    old = await joining.told()
    await joining.set_topic("new")
    new = await joining.told()

    with pytest.raises(PeerFailed):
        await joining.adopt(dataclasses.replace(new, state=[*old.state, *new.state]))


async def test_a_state_that_does_not_allow_the_join_is_refused(
    joining: Joining,
) -> None:
    told = await joining.told()
    state = [each for each in told.state if each.event.type != "m.room.join_rules"]

    with pytest.raises(PeerFailed):
        await joining.adopt(dataclasses.replace(told, state=state))


async def test_adopting_again_changes_what_changed_meanwhile(
    joining: Joining,
) -> None:
    """All of our users had left, so that nothing was heard of the room."""
    await joining.set_topic("first")
    await joining.join()
    leave = await joining.engine.append(
        joining.room_id,
        Draft("m.room.member", joining.alice, {"membership": "leave"}, joining.alice),
    )
    pdu = await joining.engine.pdu(joining.room_id, leave)
    await joining.resident.receive(joining.room_id, pdu, origin="test")
    view = await joining.engine.view(joining.room_id)
    left_pos = view.room_pos
    topic = await joining.set_topic("second")

    await joining.join()

    state = await joining.engine.state(joining.room_id)
    assert state == await joining.resident.state(joining.room_id)
    assert state[TOPIC] == topic
    reader = joining.engine.reader
    then = await reader.state_at(view, left_pos)
    now = await reader.state_at(view, view.room_pos)
    assert then[TOPIC] != now[TOPIC]
    assert (await joining.timeline())[-1] == state["m.room.member", joining.alice]
    assert (await joining.timeline())[-2] == leave


async def test_adopting_twice_is_adopting_once(joining: Joining) -> None:
    told = await joining.told()
    await joining.adopt(told)
    timeline = await joining.timeline()

    await joining.adopt(told)

    assert await joining.timeline() == timeline


async def test_who_is_in_the_room_already_does_not_adopt_it_again(
    joining: Joining,
) -> None:
    """Of two joins at one time, in two processes, the second is an event like any."""
    told = await joining.told()
    bob = joining.engine.user("bob")
    pdu = await join_event(joining.room_id, bob, joining.engine, joining.resident)
    await joining.resident.receive(joining.room_id, pdu, origin="test")
    later = await tell_room(joining.room_id, pdu, joining.resident)
    await joining.adopt(told)

    with pytest.raises(AlreadyResident):
        await joining.adopt(later)

    await joining.engine.receive(joining.room_id, pdu, origin="resident")
    view = await joining.engine.view(joining.room_id)
    assert view.is_joined(joining.alice)
    assert view.is_joined(bob)


async def test_a_room_known_by_an_invitation_only_is_no_room_to_readers(
    joining: Joining,
) -> None:
    """It has a number, for the invited user's sake, and nothing else."""
    journal = joining.engine.journal
    unit = journal.unit()
    nid = unit.pos()
    insert_room(unit, RoomRow(nid, joining.room_id, "12"))
    await journal.commit(unit)
    assert await joining.engine.reader.find_room(joining.room_id) is None

    await joining.join()

    assert (await joining.engine.view(joining.room_id)).nid == nid
