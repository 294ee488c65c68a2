"""Long polls of users who lose their rights while they wait."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.features.account_moderation.administrators import admin
from tests.features.rooms import create_room, error_of, join, send
from tests.features.sliding_sync.polling import (
    ALICE,
    BOB,
    LONG_MS,
    PATIENCE_S,
    a_list,
    poll,
    slide,
)
from tests.features.sync.syncing import token
from tests.http_client import HttpResponse
from tests.server import Server, UserClient

LOCK = f"/v1/admin/lock/{BOB}"
LISTS = {"all": a_list()}

Waiting = asyncio.Task[HttpResponse]
Begin = Callable[[UserClient], Awaitable[Waiting]]


async def _begin_sync(client: UserClient) -> Waiting:
    query: dict[str, str | int] = {
        "set_presence": "offline",
        "since": await token(client),
        "timeout": LONG_MS,
    }
    return asyncio.create_task(client.get("/v3/sync", query=query))


async def _begin_sliding_sync(client: UserClient) -> Waiting:
    pos = (await slide(client, lists=LISTS))["pos"]
    return asyncio.create_task(poll(client, pos, wait_ms=LONG_MS, lists=LISTS))


polls = pytest.mark.parametrize("begin", [_begin_sync, _begin_sliding_sync])


async def _waiting(server: Server, client: UserClient, begin: Begin) -> Waiting:
    """A request that has begun to wait."""
    task = await begin(client)
    async with asyncio.timeout(PATIENCE_S):
        while not server.waiting_users:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
    return task


async def _answer(waiting: Waiting) -> HttpResponse:
    async with asyncio.timeout(PATIENCE_S):
        return await waiting


@polls
async def test_news_is_not_for_the_locked(server: Server, begin: Begin) -> None:
    root, alice, bob = await admin(server), server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    waiting = await _waiting(server, bob, begin)

    await root.put(LOCK, {"locked": True})
    await send(alice, room_id, "secret")

    refused = await _answer(waiting)
    assert error_of(refused) == (401, "M_USER_LOCKED")
    assert refused.json["soft_logout"] is True
    assert b"secret" not in refused.body


@polls
async def test_whoever_was_locked_knows_when_their_time_is_up(
    server: Server, begin: Begin
) -> None:
    root, bob = await admin(server), server.client(BOB)
    waiting = await _waiting(server, bob, begin)

    await root.put(LOCK, {"locked": True})
    for app in server.apps:
        app.journal.release_waiting()

    assert error_of(await _answer(waiting)) == (401, "M_USER_LOCKED")


@polls
async def test_news_is_not_for_a_device_that_was_logged_out(
    server: Server, begin: Begin
) -> None:
    alice, bob = server.client(ALICE), server.client(BOB)
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    waiting = await _waiting(server, bob, begin)

    await bob.post("/v3/logout", {})
    await send(alice, room_id, "secret")

    refused = await _answer(waiting)
    assert error_of(refused) == (401, "M_UNKNOWN_TOKEN")
    assert b"secret" not in refused.body
