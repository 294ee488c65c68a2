"""History that only other servers have, as `/messages` reads into it."""

from typing import Any

import pytest

from tests.conftest import DatabaseSource
from tests.fakes.clock import FakeClock
from tests.features.rooms import create_room, error_of, send, set_state
from tests.federation.memberships import membership, until
from tests.federation.network import Federation
from tests.http_client import Client, HttpResponse
from tests.server import Server
from tremula.protocol.identifiers import ServerName

ALICE, BOB = "@alice:a.test", "@bob:b.test"


@pytest.fixture
async def here(database_source: DatabaseSource, federation: Federation) -> Server:
    return await federation.start("b.test", database_source)


@pytest.fixture
async def there(here: Server, federation: Federation) -> Server:
    """Set up last, so that the database outlives both."""
    return await federation.start("a.test")


async def join(client: Client, room_id: str, via: str = "a.test") -> None:
    joined = await client.post(f"/v3/join/{room_id}?via={via}", {})
    assert joined.status == 200, joined.body


async def pages(
    client: Client, room_id: str, limit: int = 10
) -> list[list[dict[str, Any]]]:
    """All events, page by page from the newest to the oldest."""
    found: list[list[dict[str, Any]]] = []
    query: dict[str, str | int] = {"dir": "b", "limit": limit}
    for _ in range(50):
        page = (await client.get(f"/v3/rooms/{room_id}/messages", query=query)).json
        found.append(page["chunk"])
        if "end" not in page:
            return found
        query["from"] = page["end"]
    raise AssertionError("no end")


def ids(found: list[list[dict[str, Any]]]) -> list[str]:
    return [event["event_id"] for page in found for event in page]


async def test_history_from_before_the_join_is_paged_exactly(
    there: Server, here: Server
) -> None:
    alice, bob = there.client(ALICE), here.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    for number in range(130):
        await send(alice, room_id, str(number))
    before = ids(await pages(alice, room_id))
    await join(bob, room_id)
    after = await send(bob, room_id)

    seen = await pages(bob, room_id)

    newest, joined, *rest = ids(seen)
    assert (newest, rest) == (after, before)
    assert joined not in before
    *full, oldest, nothing = [len(page) for page in seen]
    assert full == [10] * len(full)
    assert (0 < oldest <= 10, nothing) == (True, 0)
    # What was fetched once is here.
    assert ids(await pages(bob, room_id)) == ids(seen)


def bodies(found: list[list[dict[str, Any]]]) -> list[str]:
    """The texts of the messages, the oldest first."""
    return [
        event["content"]["body"]
        for page in reversed(found)
        for event in reversed(page)
        if event["type"] == "m.room.message"
    ]


async def set_visibility(client: Client, room_id: str, value: str) -> None:
    content = {"history_visibility": value}
    await set_state(client, room_id, "m.room.history_visibility", content)


async def test_history_that_was_for_members_only_stays_hidden(
    there: Server, here: Server
) -> None:
    alice, bob = there.client(ALICE), here.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await set_visibility(alice, room_id, "joined")
    hidden = await send(alice, room_id, "hidden")
    await join(bob, room_id)
    await send(bob, room_id, "shown")

    seen = await pages(bob, room_id)

    assert bodies(seen) == ["shown"]
    path = f"/v3/rooms/{room_id}/event/{hidden}"
    assert (await bob.get(path)).status == 404


async def test_each_message_has_the_visibility_of_its_time(
    there: Server, here: Server
) -> None:
    alice, bob = there.client(ALICE), here.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await send(alice, room_id, "shared")
    await set_visibility(alice, room_id, "joined")
    for number in range(120):
        await send(alice, room_id, str(number))
    await set_visibility(alice, room_id, "world_readable")
    await send(alice, room_id, "open")
    await join(bob, room_id)

    assert bodies(await pages(bob, room_id)) == ["shared", "open"]


async def test_what_was_said_while_all_of_us_were_away_is_filled_in(
    there: Server, here: Server
) -> None:
    alice, bob = there.client(ALICE), here.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await send(bob, room_id, "before")
    await bob.post(f"/v3/rooms/{room_id}/leave", {})

    async def has_left() -> bool:
        return await membership(alice, room_id, BOB) == "leave"

    await until(alice, has_left)
    for number in range(5):
        await send(alice, room_id, str(number))
    await join(bob, room_id)
    await send(bob, room_id, "after")

    seen = await pages(bob, room_id, limit=4)

    assert bodies(seen) == ["before", "0", "1", "2", "3", "4", "after"]
    assert len(set(ids(seen))) == len(ids(seen))


async def test_when_nobody_helps_the_reader_may_come_again(
    federation: Federation,
) -> None:
    clock = FakeClock()
    there = await federation.start("a.test", clock=clock)
    here = await federation.start("b.test", clock=clock)
    alice, bob = there.client(ALICE), here.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await send(alice, room_id, "old")
    await join(bob, room_id)
    federation.network.down.add(ServerName("a.test"))

    assert bodies(await pages(bob, room_id)) == []

    federation.network.heal()
    assert bodies(await pages(bob, room_id)) == []
    clock.advance_ms(61_000)
    assert bodies(await pages(bob, room_id)) == ["old"]


async def test_a_page_that_does_not_reach_the_gap_asks_nobody(
    there: Server, here: Server, federation: Federation
) -> None:
    alice, bob = there.client(ALICE), here.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await send(bob, room_id, "new")
    path = f"/v3/rooms/{room_id}/messages"

    assert len((await bob.get(f"{path}?dir=b&limit=2")).json["chunk"]) == 2
    await bob.get(f"{path}?dir=f")
    assert federation.network.asked(ServerName("a.test"), "backfill") == []


async def at(client: Client, room_id: str, ts_ms: int, direction: str) -> HttpResponse:
    path = f"/v1/rooms/{room_id}/timestamp_to_event"
    return await client.get(path, query={"ts": ts_ms, "dir": direction})


async def test_an_event_of_a_time_before_we_came_is_found_and_fetched(
    federation: Federation,
) -> None:
    clock = FakeClock()
    there = await federation.start("a.test", clock=clock)
    here = await federation.start("b.test", clock=clock)
    alice, bob = there.client(ALICE), here.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    clock.advance_ms(1000)
    old = await send(alice, room_id, "old")
    old_ms = clock.now_ms()
    clock.advance_ms(100_000)
    await join(bob, room_id)

    for ts_ms, direction in ((old_ms - 10, "f"), (old_ms + 10, "b")):
        found = await at(bob, room_id, ts_ms, direction)
        assert found.json == {"event_id": old, "origin_server_ts": old_ms}
    shown = await bob.get(f"/v3/rooms/{room_id}/event/{old}")
    assert shown.json["content"]["body"] == "old"
    # Now that nothing is missing, nobody is asked.
    federation.network.letters.clear()
    assert (await at(bob, room_id, old_ms, "f")).json["event_id"] == old
    assert federation.network.asked(ServerName("a.test"), "timestamp") == []


async def test_an_event_that_lies_far_back_is_named_all_the_same(
    there: Server, here: Server
) -> None:
    alice, bob = there.client(ALICE), here.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    for number in range(320):
        await send(alice, room_id, str(number))
    await join(bob, room_id)

    first = (await at(alice, room_id, 0, "f")).json

    assert (await at(bob, room_id, 0, "f")).json == first


async def test_without_help_what_is_here_is_the_closest(
    there: Server, here: Server, federation: Federation
) -> None:
    alice, bob = there.client(ALICE), here.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    here_id = (await pages(bob, room_id, limit=1))[0][0]["event_id"]
    await send(bob, room_id)
    federation.network.down.add(ServerName("a.test"))

    found = await at(bob, room_id, 2**52, "b")

    assert found.status == 200
    assert here_id != found.json["event_id"]
    assert error_of(await at(bob, room_id, 0, "b")) == (404, "M_NOT_FOUND")
