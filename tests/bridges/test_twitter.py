"""mautrix-twitter, which asks for a hungry homeserver, and encrypts."""

from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.bridges import clients
from tests.bridges.conftest import Register, Serve
from tests.bridges.twitter import BOT, Twitter
from tests.homeserver import Homeserver
from tests.postgres_server import free_port

pytestmark = pytest.mark.bridges


async def test_it_starts_registers_encrypts_and_helps(
    serve: Serve, register: Register, stack: AsyncExitStack, tmp_path: Path
) -> None:
    folder = tmp_path / "twitter"
    folder.mkdir()
    twitter = Twitter(folder, free_port())
    await twitter.generate()
    homeserver = await serve(twitter.registration)
    alice = await register(homeserver, "alice")
    client = await clients.start(homeserver, alice, stack, tmp_path)
    bridge = await twitter.start(homeserver.url)
    stack.push_async_callback(bridge.clean_up)

    room = await alice.nio.create_room(
        invite=[BOT], is_direct=True, initial_state=[clients.ENCRYPTED]
    )
    await client.has_told(seen="join", room_id=room, who=BOT)
    await client.tell(do="send_text", **{"with": {"room_id": room, "text": "help"}})

    # It decrypts what it is told, and answers commands in the clear.
    told = await client.told(seen="message", room_id=room, body="help")
    assert told["was_encrypted"]
    answer = await client.told(seen="message", room_id=room, sender=BOT)
    while "Show this help message" not in answer["body"]:
        answer = await client.told(seen="message", room_id=room, sender=BOT)
    await bridge.has_said("Sent new bridge state")
    profile = await _profile(homeserver, BOT)
    assert profile["displayname"] == "Twitter bridge bot"
    assert profile["com.beeper.bridge.service"] == "twitter"


async def _profile(homeserver: Homeserver, user_id: str) -> dict[str, object]:
    url = f"{homeserver.url}/_matrix/client/v3/profile/{user_id}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        profile: dict[str, object] = await response.json()
        return profile
