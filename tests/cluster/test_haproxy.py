"""The example configuration of HAProxy before processes that are replaced."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from aiohttp import ClientError, ClientSession

from tests.cluster.members import Members
from tests.crash.load import Reader, Sender, assert_sent_once, history
from tests.crash.person import register
from tests.postgres_server import free_port

pytestmark = pytest.mark.cluster

EXAMPLE: Final = Path(__file__).parents[2] / "examples/balancers/haproxy.cfg"
SENDERS: Final = 8
READY_S: Final = 30.0
# The balancer asks each second who is ready.
NOTICED_S: Final = 2.0


@pytest.fixture
def balancer_url(members: Members, tmp_path: Path) -> Iterator[str]:
    """HAProxy as in the example, but for the addresses and without TLS."""
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if haproxy is None:
        pytest.skip("haproxy is not installed")
    port, config = free_port(), tmp_path / "haproxy.cfg"
    text = EXAMPLE.read_text(encoding="utf-8")
    text = re.sub(r"bind :443 ssl.*", f"bind 127.0.0.1:{port}", text)
    text = re.sub(r"bind :8448 .*", "", text)
    for number, homeserver in enumerate(members.homeservers):
        address = homeserver.url.removeprefix("http://")
        text = text.replace(f"127.0.0.1:{8009 + number}", address)
    config.write_text(text, encoding="utf-8")
    with (tmp_path / "haproxy.log").open("ab") as log:
        process = subprocess.Popen([haproxy, "-f", str(config)], stdout=log, stderr=log)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait()


async def test_processes_are_replaced_behind_haproxy_without_an_error(
    members: Members, balancer_url: str, session: ClientSession
) -> None:
    await _answers(session, f"{balancer_url}/_matrix/client/versions")
    people = [
        await register(session, balancer_url, f"user{number}")
        for number in range(SENDERS)
    ]
    room_id = await people[0].create_room()
    for person in people[1:]:
        await person.join(room_id)
    senders = [Sender(person.user_id, person, room_id) for person in people]
    reader = Reader(people[0])
    await reader.read()
    is_over = asyncio.Event()

    async with asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(_send(sender, is_over))
        for homeserver in members.homeservers:
            await homeserver.stop()
            await homeserver.start()
            await _answers(session, f"{homeserver.url}/ready")
            await asyncio.sleep(NOTICED_S)
        is_over.set()

    await reader.read()
    whole = await history(people[0], room_id)
    assert_sent_once(whole, senders)
    assert reader.event_ids[room_id] == whole


async def _send(sender: Sender, is_over: asyncio.Event) -> None:
    """Send; any answer but 200, and any broken connection, fails the test."""
    while not is_over.is_set():
        sender.acknowledged.append(await sender.send(len(sender.acknowledged)))
        await asyncio.sleep(0.1)


async def _answers(session: ClientSession, url: str) -> None:
    """Return once there is a good answer from *url*."""
    async with asyncio.timeout(READY_S):
        status = 0
        while status != 200:
            with suppress(ClientError):
                async with session.get(url) as response:
                    status = response.status
            await asyncio.sleep(0.1)
