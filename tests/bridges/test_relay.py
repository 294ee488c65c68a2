"""A bridgebot, which relays between two rooms in its own name."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.bridges import registrations
from tests.bridges.conftest import Register, Serve
from tests.bridges.environments import own_program
from tests.postgres_server import free_port

pytestmark = pytest.mark.bridges

_BOT = "@relaybot:test"


async def test_a_bot_relays_between_two_rooms(
    serve: Serve, register: Register, stack: AsyncExitStack, tmp_path: Path
) -> None:
    port = str(free_port())
    registration = registrations.write(
        tmp_path / "relay.yaml", f"http://127.0.0.1:{port}", [_BOT]
    )
    homeserver = await serve(registration)
    alice = await register(homeserver, "alice")
    bob = await register(homeserver, "bob")
    arguments = (homeserver.url, str(registration), port)
    relay = own_program("relay", *arguments, log=tmp_path / "relay.log")
    stack.push_async_callback(relay.clean_up)
    await relay.start()
    await relay.told(seen="ready")
    rooms = [await user.nio.create_room(invite=[_BOT]) for user in (alice, bob)]
    for user, room in zip((alice, bob), rooms, strict=True):
        await user.nio.sync_until(lambda: room in user.nio.client.rooms)  # noqa: B023
        await user.sees_in_room(room, _BOT)
    await relay.tell(link=rooms)
    await relay.told(seen="link")

    words = ["one", "two", "three"]
    for word in words:
        await alice.say(rooms[0], word)
        await bob.hears(rooms[1], f"alice: {word}")
        await bob.say(rooms[1], word)
        await alice.hears(rooms[0], f"bob: {word}")

    assert await alice.read(rooms[0], _BOT) == [f"bob: {word}" for word in words]
    assert await bob.read(rooms[1], _BOT) == [f"alice: {word}" for word in words]
