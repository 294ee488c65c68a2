"""Other servers ask for users and aliases that application services have."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.features.appservice_queries.bridge import Asked, asked
from tests.features.appservices.registrations import namespaces, registration
from tests.features.rooms import create_room, error_of, member
from tests.http_client import Client
from tests.server import AppserviceClient, Server

GHOST, ALIAS = "@_irc_bob:two.test", "#_irc_chat:two.test"


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Asked]:
    async with asked(tmp_path, Asked()) as bridge:
        yield bridge


async def bot_of(server: Server, bridge: Asked) -> AppserviceClient:
    """The application service at the second server."""
    areas = namespaces(users="@_irc_.*", aliases="#_irc_.*")
    registered = registration(url=bridge.url, namespaces=areas)
    await server.add_appservice(registered)
    return server.appservice_client(registered)


async def register(bot: AppserviceClient, localpart: str) -> None:
    """Make a user."""
    body = {"type": "m.login.application_service", "username": localpart}
    assert (await bot.post("/v3/register", body)).status == 200


async def test_an_unknown_user_is_made_to_be_invited(
    two: Server, alice: Client, bridge: Asked
) -> None:
    bot = await bot_of(two, bridge)
    bridge.answers = {f"/_matrix/app/v1/users/{GHOST}": {}}
    bridge.before = lambda _: register(bot, "_irc_bob")
    room_id = await create_room(alice)

    invited = await member(alice, room_id, "invite", GHOST)
    nobody = await member(alice, room_id, "invite", "@_irc_carol:two.test")

    assert invited.status == 200
    assert error_of(nobody) == (403, "M_FORBIDDEN")


async def test_an_unknown_alias_is_made_to_be_found(
    two: Server, alice: Client, bridge: Asked
) -> None:
    bot = await bot_of(two, bridge)
    await register(bot, "_irc_bot")
    bridge.answers = {f"/_matrix/app/v1/rooms/{ALIAS}": {}}
    made: list[str] = []

    async def make(_: str) -> None:
        made.append(await create_room(bot, room_alias_name="_irc_chat"))

    bridge.before = make
    found = await alice.get(f"/v3/directory/room/{quote(ALIAS)}")

    assert (found.status, found.json["room_id"]) == (200, made[0])
