"""History that only other servers have, as `/messages` reads into it."""

from typing import Any

import pytest

from tests.conftest import DatabaseSource
from tests.features.rooms import create_room, send
from tests.federation.network import Federation
from tests.http_client import Client
from tests.server import Server

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
    assert [len(page) for page in seen[:-1]] == [10] * (len(seen) - 1)
    # What was fetched once is here.
    assert ids(await pages(bob, room_id)) == ids(seen)
