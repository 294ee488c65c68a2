"""How a server ends, and what the next one finds."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from aiohttp import ClientSession
from yarl import URL

from tests.conftest import DatabaseSource
from tests.crash.person import Person, register
from tests.homeserver import PATIENCE_S, Homeserver, running_homeserver
from tests.postgres_server import running_postgres
from tremula.infra.config import PostgresUrl

POLLS: Final = 50
# Far longer than the test may take.
LONG_POLL_MS: Final = 80_000


async def _ping(person: Person, poll: dict[str, str | int]) -> list[dict[str, Any]]:
    """Let many long polls wait, and wake them all."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(person.call("GET", "/sync", query=poll))
            for _ in range(POLLS)
        ]
        # Answered after those that were sent before it.
        await person.call("GET", "/account/whoami")
        await person.call("PUT", _account_data(person, "org.test.ping"), {})
    return [task.result() for task in tasks]


async def test_waiting_long_polls_are_answered_when_the_server_stops(
    homeserver: Homeserver, session: ClientSession
) -> None:
    """Each gets its 200, at once, and a token that is good for the next server."""
    alice = await register(session, homeserver.url, "alice")
    poll: dict[str, str | int] = {"set_presence": "offline"}
    poll["since"] = (await alice.call("GET", "/sync", query=poll))["next_batch"]
    poll["timeout"] = LONG_POLL_MS
    poll["since"] = (await _ping(alice, poll))[0]["next_batch"]

    async with asyncio.TaskGroup() as group:
        polls = [
            group.create_task(alice.call("GET", "/sync", query=poll))
            for _ in range(POLLS)
        ]
        await alice.call("GET", "/account/whoami")
        await homeserver.stop()
    answers = [task.result() for task in polls]

    assert all(answer["next_batch"] == poll["since"] for answer in answers)
    await homeserver.start()
    poll["since"] = answers[0]["next_batch"]
    await _ping(alice, poll)


async def test_a_send_that_has_begun_is_finished_when_the_server_stops(
    homeserver: Homeserver, session: ClientSession
) -> None:
    """Half a request is there as the server is told to end: it waits for the rest."""
    alice = await register(session, homeserver.url, "alice")
    room_id = await alice.create_room()
    path = f"/rooms/{quote(room_id)}/send/m.room.message/1"
    body = b'{"msgtype":"m.text","body":"just in time"}'
    host, port = URL(homeserver.url).host, URL(homeserver.url).port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        f"PUT /_matrix/client/v3{path} HTTP/1.1\r\nHost: {host}\r\n"
        f"Authorization: Bearer {alice.token}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
    )
    writer.write(body[:10])
    # Answered after what was sent before it.
    await alice.call("GET", "/account/whoami")

    async with asyncio.TaskGroup() as group:
        group.create_task(homeserver.stop())
        await _until_it_refuses(host, port)
        writer.write(body[10:])
        answer = await reader.read()

    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    event_id = json.loads(answer.partition(b"\r\n\r\n")[2])["event_id"]
    await homeserver.start()
    event = await alice.call("GET", f"/rooms/{quote(room_id)}/event/{quote(event_id)}")
    assert event["content"]["body"] == "just in time"


async def _until_it_refuses(host: str | None, port: int | None) -> None:
    """Wait until the server takes no connections any more."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                await writer.wait_closed()
            except (ConnectionRefusedError, ConnectionResetError):
                return


async def test_whatever_was_acknowledged_is_there_after_a_crash(
    homeserver: Homeserver, session: ClientSession
) -> None:
    """Not only messages: each kind of write is durable before its answer."""
    alice = await register(session, homeserver.url, "alice")
    bob = await register(session, homeserver.url, "bob")
    me = f"/user/{quote(alice.user_id)}"
    room_id = await alice.create_room()
    room = f"/rooms/{quote(room_id)}"
    tags_path = f"{me}{room}/tags"
    await bob.join(room_id)
    event_id = await alice.send(room_id, "1", "hello")
    filter_id = (await alice.call("POST", f"{me}/filter", {"room": {"rooms": []}}))[
        "filter_id"
    ]
    await alice.call("PUT", f"{tags_path}/u.work", {"order": 0.5})
    await alice.call("PUT", _account_data(alice, "org.test.colour"), {"is": "green"})
    await bob.call("POST", f"{room}/receipt/m.read/{quote(event_id)}", {})
    await alice.call("POST", f"{room}/leave", {})
    profile = f"/profile/{quote(bob.user_id)}/displayname"
    await bob.call("PUT", profile, {"displayname": "Bob"})

    await homeserver.kill()
    await homeserver.start()

    tags = await alice.call("GET", tags_path)
    assert tags == {"tags": {"u.work": {"order": 0.5}}}
    stored_filter = await alice.call("GET", f"{me}/filter/{filter_id}")
    assert stored_filter["room"] == {"rooms": []}
    colour = await alice.call("GET", _account_data(alice, "org.test.colour"))
    assert colour == {"is": "green"}
    assert await bob.call("GET", profile) == {"displayname": "Bob"}
    assert await alice.call("GET", "/joined_rooms") == {"joined_rooms": []}
    synced = await bob.call("GET", "/sync")
    [joined] = synced["rooms"]["join"].values()
    [receipts] = joined["ephemeral"]["events"]
    assert bob.user_id in receipts["content"][event_id]["m.read"]


async def test_a_second_process_leaves_the_database_alone(
    homeserver: Homeserver,
    session: ClientSession,
    database_source: DatabaseSource,
    tmp_path: Path,
) -> None:
    """It is refused, and the first one goes on."""
    second = Homeserver(tmp_path / "second", database_source)

    with pytest.raises(AssertionError, match=r"tremula: .*(in use|another Tremula)"):
        await second.start()

    await second.clean_up()
    alice = await register(session, homeserver.url, "alice")
    await alice.send(await alice.create_room(), "1", "still here")


def _account_data(person: Person, event_type: str) -> str:
    return f"/user/{quote(person.user_id)}/account_data/{event_type}"


async def test_a_server_stops_well_while_its_database_is_away(
    session: ClientSession, tmp_path: Path
) -> None:
    with running_postgres() as postgres:
        source = PostgresUrl(postgres.url("postgres"))
        async with running_homeserver(tmp_path / "homeserver", source) as homeserver:
            alice = await register(session, homeserver.url, "alice")
            await alice.call("GET", "/account/whoami")
            await asyncio.to_thread(postgres.stop, "immediate")
            try:
                await homeserver.stop()
            finally:
                await asyncio.to_thread(postgres.start)
