"""Timelines of `/sync`: what is new, what is limited, and how to page on."""

from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.features.rooms import create_room, join, send, set_state
from tests.features.sync.model import pages_back
from tests.features.sync.syncing import (
    bodies,
    joined_rooms,
    room_of,
    sync,
    timeline_ids,
    token,
)
from tests.query_counter import counted
from tests.server import Server, UserClient

ALICE = "@alice:test"
BOB = "@bob:test"


async def _room_of(alice: UserClient, bob: UserClient) -> str:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    return room_id


def _limit(limit: int) -> dict[str, object]:
    return {"room": {"timeline": {"limit": limit}}}


async def test_a_first_sync_shows_every_joined_room(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    rooms = {await _room_of(alice, bob) for _ in range(3)}
    await create_room(alice, preset="public_chat")

    answer = await sync(bob)

    assert joined_rooms(answer) == rooms
    assert answer["rooms"].keys() == {"join"}


async def test_a_small_room_is_in_the_timeline_as_a_whole(server: Server) -> None:
    """The state is that before the timeline: there is none."""
    alice = server.client(ALICE)
    room_id = await create_room(alice, name="Trees")

    entry = room_of(await sync(alice, filter=_limit(50)), room_id)

    assert timeline_ids(entry) == await pages_back(alice, room_id, {})
    assert entry["timeline"]["limited"] is False
    assert entry["state"]["events"] == []
    [first, *_] = entry["timeline"]["events"]
    assert first["type"] == "m.room.create"
    assert "room_id" not in first


class BusyRoom(NamedTuple):
    """A room of four messages, and the first sync with it."""

    room_id: str
    sent: list[str]
    entry: dict[str, Any]
    reads: int


async def _first_sync_of_busy_room(server: Server, *, redacts: bool) -> BusyRoom:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    sent = [await send(alice, room_id, str(number)) for number in range(4)]
    if redacts:
        await alice.put(f"/v3/rooms/{room_id}/redact/{quote(sent[2])}/r", {})
    with counted(server.db) as queries:
        answer = await sync(bob, filter=_limit(4))
    return BusyRoom(room_id, sent, room_of(answer, room_id), len(queries.reads))


@pytest.mark.one_process(reason="it counts the queries of one process")
async def test_a_first_sync_of_busy_rooms_costs_no_query_a_room(
    server: Server,
) -> None:
    """What was sent lately is in memory; it is what the database has."""
    await sync(server.client(BOB))
    counts = []
    for _ in range(2):
        busy = await _first_sync_of_busy_room(server, redacts=True)
        counts.append(busy.reads)
        paged = await pages_back(server.client(ALICE), busy.room_id, {})

        assert paged
        assert timeline_ids(busy.entry) == paged[-4:]
        assert busy.entry["timeline"]["limited"] is True
        assert busy.entry["timeline"]["events"][1]["content"] == {}
    assert counts[0] == counts[1]


@pytest.mark.one_process(reason="it counts the queries of one process")
async def test_who_joined_just_before_what_is_shown_is_not_looked_up(
    server: Server,
) -> None:
    """The join is read only to see that there is more than is shown."""
    await sync(server.client(BOB))
    counts = []
    for _ in range(2):
        busy = await _first_sync_of_busy_room(server, redacts=False)
        counts.append(busy.reads)
        timeline = busy.entry["timeline"]

        assert timeline_ids(busy.entry) == busy.sent
        assert timeline["limited"] is True
        shown = {event["unsigned"]["membership"] for event in timeline["events"]}
        assert shown == {"join"}
    assert counts[0] == counts[1]


async def test_only_rooms_with_news_come_again(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    busy, quiet = await _room_of(alice, bob), await _room_of(alice, bob)
    since = await token(bob)
    await send(alice, busy, "one")
    first = await sync(bob, since)
    await send(alice, busy, "two")
    second = await sync(bob, first["next_batch"])

    assert joined_rooms(first) == joined_rooms(second) == {busy} != {quiet}
    assert bodies(room_of(first, busy)) == ["one"]
    assert bodies(room_of(second, busy)) == ["two"]


async def test_asking_again_from_one_token_gives_the_same_answer(
    server: Server,
) -> None:
    """An answer may be lost on its way."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    event_id = await send(alice, room_id)

    for _ in range(2):
        assert timeline_ids(room_of(await sync(bob, since), room_id)) == [event_id]


@pytest.mark.parametrize("count", [9, 10, 11, 30])
async def test_a_timeline_has_ten_events_if_nobody_asks_for_another_number(
    server: Server, count: int
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    sent = [await send(alice, room_id) for _ in range(count)]

    entry = room_of(await sync(bob, since), room_id)

    assert timeline_ids(entry) == sent[-10:]
    assert entry["timeline"]["limited"] is (count > 10)


@pytest.mark.parametrize("limit", [1, 4, 5, 6])
async def test_prev_batch_pages_on_exactly_where_a_limited_timeline_begins(
    server: Server, limit: int
) -> None:
    """Without a gap or a repeat, over state events too."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    for number in range(4):
        await send(alice, room_id, str(number))
        await set_state(alice, room_id, "m.room.topic", {"topic": str(number)})

    entry = room_of(await sync(bob, since, filter=_limit(limit)), room_id)
    start = entry["timeline"]["prev_batch"]
    gap = await pages_back(bob, room_id, {"from": start, "to": since})
    before = await pages_back(bob, room_id, {"from": start})

    assert gap is not None
    assert before is not None
    assert len(gap + timeline_ids(entry)) == 8
    assert before + timeline_ids(entry) == await pages_back(bob, room_id, {})
    assert entry["timeline"]["limited"] is True


async def test_a_gap_is_paged_forwards_as_well(server: Server) -> None:
    """CS "Syncing": from the last token to ``prev_batch``."""
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    sent = [await send(alice, room_id) for _ in range(5)]

    entry = room_of(await sync(bob, since, filter=_limit(2)), room_id)
    query = {"dir": "f", "from": since, "to": entry["timeline"]["prev_batch"]}
    page = await bob.get(f"/v3/rooms/{room_id}/messages", query=query)

    assert [event["event_id"] for event in page.json["chunk"]] == sent[:3]


async def test_a_filtered_timeline_is_limited_by_what_it_shows(server: Server) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await _room_of(alice, bob)
    since = await token(bob)
    for number in range(15):
        await send(alice, room_id, f"odd {number}", event_type="org.odd")
    await send(alice, room_id, "hello")
    only_messages = {"room": {"timeline": {"types": ["m.room.message"]}}}

    entry = room_of(await sync(bob, since, filter=only_messages), room_id)

    assert bodies(entry) == ["hello"]
    assert entry["timeline"]["limited"] is False


async def test_a_huge_limit_is_no_error(server: Server) -> None:
    alice = server.client(ALICE)
    room_id = await create_room(alice)

    entry = room_of(await sync(alice, filter=_limit(2**53 - 1)), room_id)

    assert timeline_ids(entry) == await pages_back(alice, room_id, {})
