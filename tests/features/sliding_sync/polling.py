"""What tests of sliding sync do again and again, over HTTP."""

import asyncio
from typing import Any, Final

from tests.http_client import Client, HttpResponse
from tests.server import Server

PATH: Final = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
ALICE: Final = "@alice:test"
BOB: Final = "@bob:test"
CAROL: Final = "@carol:test"

PATIENCE_S: Final = 10
LONG_MS: Final = 30_000

Answer = dict[str, Any]


def a_list(
    first: int = 0,
    last: int = 99,
    *,
    timeline_limit: int = 10,
    required_state: list[list[str]] | None = None,
    **filters: object,
) -> dict[str, Any]:
    """A list of the rooms in a window."""
    wanted: dict[str, Any] = {
        "ranges": [[first, last]],
        "timeline_limit": timeline_limit,
        "required_state": required_state or [],
    }
    return {**wanted, "filters": filters} if filters else wanted


async def poll(
    client: Client, pos: str | None = None, *, wait_ms: int = 0, **body: object
) -> HttpResponse:
    """Ask once; nobody comes online by it."""
    query: dict[str, str | int] = {"set_presence": "offline", "timeout": wait_ms}
    if pos is not None:
        query["pos"] = pos
    return await client.post(PATH, body, query=query)


async def slide(
    client: Client, pos: str | None = None, *, wait_ms: int = 0, **body: object
) -> Answer:
    """Ask once, which must succeed."""
    response = await poll(client, pos, wait_ms=wait_ms, **body)
    assert response.status == 200, response.body
    answer: Answer = response.json
    return answer


async def waiting(
    server: Server, client: Client, pos: str, **body: object
) -> asyncio.Task[Answer]:
    """A request that has begun to wait, and is to end before its time is up."""

    async def answered() -> Answer:
        async with asyncio.timeout(PATIENCE_S):
            return await slide(client, pos, wait_ms=LONG_MS, **body)

    task = asyncio.create_task(answered())
    async with asyncio.timeout(PATIENCE_S):
        while not server.waiting_users:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
    return task


def ids(events: list[dict[str, Any]]) -> list[str]:
    """The IDs of events."""
    return [event["event_id"] for event in events]


def keys(events: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """The types and state keys of state events."""
    return {(event["type"], event["state_key"]) for event in events}


def bodies(room: dict[str, Any]) -> list[str]:
    """The bodies of the messages in a room's timeline."""
    return [
        event["content"].get("body", "")
        for event in room["timeline"]
        if event["type"] == "m.room.message"
    ]
