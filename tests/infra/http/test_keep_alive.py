"""What the requests of one connection have in common, and what not."""

import asyncio
from collections.abc import Coroutine
from ipaddress import IPv4Network

import pytest

from tests.infra.http.connections import (
    ANY_PORT,
    DEADLINE_S,
    Listen,
    connected,
    event,
)
from tests.infra.http.routes import Notes
from tremula.infra.config import Api, Listener
from tremula.infra.http.connections import Connections

BEHIND_PROXIES = Listener(
    port=ANY_PORT, apis=tuple(Api), trusted_proxies=(IPv4Network("127.0.0.0/8"),)
)


async def test_a_connection_takes_one_task_for_all_its_requests(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To make one costs a tenth of an empty request; and it ends with the client."""
    begun: list[asyncio.Task[None]] = []
    run = Connections.run

    def noting(
        connections: Connections, answering: Coroutine[None, None, None]
    ) -> asyncio.Task[None]:
        begun.append(run(connections, answering))
        return begun[-1]

    monkeypatch.setattr(Connections, "run", noting)
    async with connected(await listen()) as connection:
        for _ in range(3):
            connection.send("GET /bytes HTTP/1.1")
            assert await connection.status() == 200
        [task] = begun
        assert not task.done()

    async with asyncio.timeout(DEADLINE_S):
        await task


async def test_of_a_repeated_header_the_last_counts(listen: Listen) -> None:
    async with connected(await listen(BEHIND_PROXIES)) as connection:
        lines = ["X-Request-ID: first", "Accept: *", "x-request-id: second"]
        connection.send("GET /whence HTTP/1.1", *lines)

        assert await connection.json() == {"ip": "127.0.0.1", "id": "second"}


async def test_lines_of_several_proxies_are_one_list(listen: Listen) -> None:
    async with connected(await listen(BEHIND_PROXIES)) as connection:
        lines = [
            "X-Forwarded-For: 192.0.2.1, 198.51.100.7",
            "x-forwarded-for: 127.0.0.2",
        ]
        connection.send("GET /whence HTTP/1.1", "X-Request-ID: first", *lines)

        assert await connection.json() == {"ip": "198.51.100.7", "id": "first"}


async def test_a_client_that_hangs_up_cancels_a_later_read(
    listen: Listen, notes: Notes
) -> None:
    async with connected(await listen()) as connection:
        connection.send("GET /bytes HTTP/1.1")
        assert await connection.status() == 200
        connection.send("GET /wait HTTP/1.1")
        await event(notes.entered)
        connection.hang_up()

        await event(notes.cancelled)
