"""Relations of events that other servers send, in whatever order they come."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tests.query_counter import counted
from tests.rooms.federation.remote import (
    BOB,
    CAROL,
    KEY,
    REMOTE,
    Fields,
    Forged,
    Remote,
    ScriptedPeers,
)
from tremula.protocol.history_visibility import Viewer
from tremula.protocol.identifiers import EventId, UserId
from tremula.protocol.room_versions import ROOM_VERSIONS
from tremula.protocol.signing import sign_event
from tremula.rooms import relations_storage
from tremula.rooms.aggregations import Aggregation, Aggregations
from tremula.rooms.event_store import END_POS
from tremula.rooms.relations_storage import RelatedRequest

SEES_ALL = Viewer(UserId("@alice:test"), [(-END_POS, "join")], [])


class _NobodyIgnored:
    async def ignored_users(self, user_id: UserId) -> frozenset[UserId]:
        return frozenset()


@dataclass(slots=True)
class Reading:
    """A room with a remote member, as its aggregations are read."""

    remote: Remote
    peers: ScriptedPeers
    aggregations: Aggregations = field(init=False)

    def __post_init__(self) -> None:
        engine = self.remote.engine
        self.aggregations = Aggregations(engine.database, engine.journal, engine.events)
        self.aggregations.set_ignored_users(_NobodyIgnored())

    async def relate(
        self,
        rel_type: str,
        parent: Forged | EventId,
        sender: UserId = BOB,
        prev: Sequence[EventId] | None = None,
    ) -> Forged:
        parent_id = parent if isinstance(parent, str) else parent.event_id
        content = {
            "body": "",
            "m.new_content": {},
            "m.relates_to": {"rel_type": rel_type, "event_id": parent_id},
        }
        fields = Fields() if prev is None else Fields(prev=prev)
        return await self.remote.event(sender, "m.room.message", content, **fields)

    async def send(self, *events: Forged) -> None:
        for event in events:
            receipt = await self.remote.send(event)
            assert receipt.reason is None

    async def of(self, parent: Forged | EventId) -> Aggregation:
        """What is told with *parent*, from memory and from the database."""
        engine = self.remote.engine
        parent_id = parent if isinstance(parent, str) else parent.event_id
        view = await engine.view(self.remote.room_id)
        found: list[Aggregation] = []
        for _ in range(2):
            event = await engine.events.get(view.nid, parent_id)
            told = await self.aggregations.of(view.nid, [event], SEES_ALL)
            found.append(told.get(event.event_nid, Aggregation()))
            engine.events.cache.clear()
        assert _ids(found[0]) == _ids(found[1])
        return found[0]

    async def related(self, parent: EventId, depth_max: int = 3) -> list[int]:
        view = await self.remote.engine.view(self.remote.room_id)
        everywhere = (-END_POS, END_POS)
        wanted = RelatedRequest(view.nid, parent, "", "", depth_max, everywhere)
        return await relations_storage.related(
            self.remote.engine.database, wanted, backwards=False, limit=100
        )


def _ids(told: Aggregation) -> tuple[object, ...]:
    edit, thread = told.edit, told.thread
    return (
        edit and edit.event_id,
        list(told.references),
        thread and (thread.newest.event_id, thread.count, thread.participated),
    )


@pytest.fixture
def reading(remote: Remote, peers: ScriptedPeers) -> Reading:
    return Reading(remote, peers)


async def test_children_that_come_first_are_told_with_their_parent(
    reading: Reading,
) -> None:
    """They fork from the same extremities."""
    parent = await reading.remote.message()
    reference = await reading.relate("m.reference", parent)
    edit = await reading.relate("m.replace", parent)
    reply = await reading.relate("m.thread", parent)

    await reading.send(reference, edit, reply, parent)

    expected = (edit.event_id, [reference.event_id], (reply.event_id, 1, False))
    assert _ids(await reading.of(parent)) == expected


async def test_of_edits_the_newest_counts_in_whatever_order_they_come(
    reading: Reading,
) -> None:
    """By ``origin_server_ts`` and then by event ID."""
    parent = await reading.remote.message()
    await reading.send(parent)
    older, newer = [await reading.relate("m.replace", parent) for _ in range(2)]
    newest = [
        await reading.remote.event(
            BOB,
            "m.room.message",
            {**newer.pdu["content"], "number": number},
            ts=newer.pdu["origin_server_ts"],
        )
        for number in range(3)
    ]

    await reading.send(*newest, older)

    told = await reading.of(parent)
    assert told.edit is not None
    assert told.edit.event_id == max(each.event_id for each in newest)


@pytest.mark.parametrize("early", [False, True])
async def test_a_redacted_child_is_not_told(reading: Reading, *, early: bool) -> None:
    parent = await reading.remote.message()
    await reading.send(parent)
    for rel_type in ("m.reference", "m.replace", "m.thread"):
        child = await reading.relate(rel_type, parent)
        redaction = await reading.remote.redaction(child.event_id)
        events = (redaction, child) if early else (child, redaction)
        await reading.send(*events)

    assert not await reading.of(parent)
    assert await reading.related(parent.event_id) == []


async def test_back_filled_events_relate_as_well(reading: Reading) -> None:
    """Parent and child in one page, and a child that was here before."""
    remote, peers = reading.remote, reading.peers
    parent = await remote.message()
    reply = await reading.relate("m.thread", parent, prev=[parent.event_id])
    newest = await reading.relate("m.thread", parent, prev=[reply.event_id])
    peers.states[newest.event_id] = (list((await remote.state()).values()), [])
    await reading.send(newest)
    view = await remote.engine.view(remote.room_id)
    gap = await remote.engine.past.newest_gap(view, up_to=END_POS)
    assert gap is not None
    peers.pages.append([reply, parent])

    assert await remote.engine.rooms.fill_gap(remote.room_id, gap)

    told = await reading.of(parent)
    assert told.thread is not None
    assert (told.thread.newest.event_id, told.thread.count) == (newest.event_id, 2)


async def test_what_is_not_accepted_does_not_relate(reading: Reading) -> None:
    """Of somebody who is not in the room."""
    parent = await reading.remote.message()
    await reading.send(parent)
    child = await reading.relate("m.reference", parent, sender=CAROL)

    receipt = await reading.remote.send(child)

    assert receipt.reason is not None
    assert not await reading.of(parent)
    assert await reading.related(parent.event_id) == []


@pytest.mark.parametrize("version", ["1"])
async def test_circles_of_relations_end(reading: Reading) -> None:
    """In a room whose event IDs anybody can choose."""
    ids = [EventId(f"$circle{number}:remote") for number in range(2)]
    itself = EventId("$itself:remote")
    for own, parent in (ids, ids[::-1], (itself, itself)):
        pdu = (await reading.relate("m.reference", parent)).pdu | {"event_id": own}
        unsigned = {k: v for k, v in pdu.items() if k not in {"hashes", "signatures"}}
        signed = sign_event(ROOM_VERSIONS["1"], unsigned, REMOTE, KEY)
        await reading.send(Forged(own, signed))

    for event_id, count in ((ids[0], 2), (ids[1], 2), (itself, 1)):
        assert len(await reading.related(event_id)) == count
        assert len((await reading.of(event_id)).references) == 1


async def test_a_new_event_is_known_to_have_no_children(reading: Reading) -> None:
    """Without a query, until it has; and one that was asked for once is not again."""
    remote = reading.remote
    engine = remote.engine
    view = await engine.view(remote.room_id)
    old_id = await engine.send(remote.room_id, remote.alice)
    old = await engine.events.get(view.nid, old_id)
    engine.events.cache.clear()
    old = await engine.events.get(view.nid, old_id)
    new = await remote.message()
    await reading.send(new)
    events = [old, await engine.events.get(view.nid, new.event_id)]

    with counted(engine.database) as first:
        assert not await reading.aggregations.of(view.nid, events, SEES_ALL)
    with counted(engine.database) as again:
        assert not await reading.aggregations.of(view.nid, events, SEES_ALL)
    other = await remote.message()
    await reading.send(other, await reading.relate("m.reference", other))
    with counted(engine.database) as of_others:
        assert not await reading.aggregations.of(view.nid, events, SEES_ALL)
    await reading.send(await reading.relate("m.reference", new))
    told = await reading.aggregations.of(view.nid, events, SEES_ALL)

    assert [len(each.reads) for each in (first, again, of_others)] == [1, 0, 0]
    assert list(told) == [events[1].event_nid]
