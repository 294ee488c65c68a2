"""Everything that is announced can be told to other processes."""

import re
from pathlib import Path

import pytest

from tremula.infra.replication.messages import Topics
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.power_levels import PowerLevels
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.rooms.events import StoredEvent
from tremula.rooms.staging import (
    EVENT_TOPIC,
    REREAD_TOPIC,
    OwnChange,
    OwnReread,
    Remains,
    Reread,
    RoomChange,
    StateAround,
)
from tremula.rooms.state import StateEvent, StateMap, StateUpdate
from tremula.rooms.view import RoomView
from tremula.topics import all_topics

_SOURCES = Path(__file__).parents[1] / "src" / "tremula"
_DECLARED = re.compile(r'^(?:[A-Z]+_)*TOPIC: Final = "(\w+)"$', re.MULTILINE)


@pytest.fixture
def topics() -> Topics:
    return all_topics()


def declared_topics() -> list[str]:
    return sorted(
        topic
        for path in _SOURCES.rglob("*.py")
        for topic in _DECLARED.findall(path.read_text())
    )


@pytest.mark.parametrize("topic", declared_topics())
def test_every_topic_has_its_payload(topic: str, topics: Topics) -> None:
    if topic not in {EVENT_TOPIC, REREAD_TOPIC}:
        assert topics.pack(topic, None)


def test_that_a_room_is_to_be_read_anew_arrives(topics: Topics) -> None:
    told = Reread(RoomId("!room"), (1, 2))

    packed = topics.pack(REREAD_TOPIC, OwnReread(told))

    assert topics.unpack(REREAD_TOPIC, packed) == told


def test_a_change_of_a_room_arrives_as_it_was_announced(topics: Topics) -> None:
    alice = UserId("@alice:test")
    stored = StoredEvent(
        event_id=EventId("$join"),
        event_nid=7,
        room_nid=3,
        room_pos=2,
        type="m.room.member",
        state_key=alice,
        sender=alice,
        origin_server_ts=1,
        client_json=b'{"content":{"membership":"join"}}',
    )
    member = StateEvent(
        stored.event_id, 7, 2, stored.type, alice, alice, {"membership": "join"}
    )
    change = RoomChange(
        RoomId("!room:test"),
        stored,
        redacts=EventId("$other"),
        update=StateUpdate((member,), removed=(("m.room.member", "@bob:test"),)),
        changes_other_state=True,
        remains=Remains(5, b"{}", member),
        is_sent=True,
    )
    view = RoomView(
        nid=3,
        room_id=change.room_id,
        version=ROOM_VERSIONS["11"],
        state=StateMap(),
        room_pos=1,
    )

    around = StateAround(view.state, view.state, PowerLevels({}, {}, {}))
    packed = topics.pack(EVENT_TOPIC, OwnChange(view, change, around))

    told = topics.unpack(EVENT_TOPIC, packed)
    assert told == change
    assert isinstance(told, RoomChange)
    # What listeners go on with, once it has passed the room in memory there.
    assert told.update.members == {alice: "join", "@bob:test": None}
