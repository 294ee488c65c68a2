"""A batch of messages is there whole and once or not at all, whoever crashes when."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

import orjson

from tests.conftest import DatabaseSource
from tests.crash.load import history
from tests.crash.person import Person, http_session
from tests.features.appservices.registrations import registration_object
from tests.homeserver import Homeserver, running_homeserver

CRASHES: Final = 4
BATCH: Final = 1_000
SENDER: Final = "@_irc_ann:test"


async def test_a_batch_is_stored_once_and_whole(
    tmp_path: Path, database_source: DatabaseSource, dice: random.Random
) -> None:
    """A bridge that heard no answer sends the same again."""
    file = tmp_path / "irc.yaml"
    # JSON is YAML.
    file.write_bytes(orjson.dumps(registration_object()))
    settings = {"TREMULA_APPSERVICES__FILES": f'["{file}"]'}
    async with (
        running_homeserver(tmp_path / "server", database_source, settings) as server,
        http_session() as session,
    ):
        bot = Person(session, server.url, "@_irc_bot:test", "as-token-of-irc")
        login = {"type": "m.login.application_service", "username": "_irc_bot"}
        await bot.call("POST", "/register", login)
        answer = await bot.call("POST", "/createRoom", {"com.beeper.bridge_name": "i"})
        room_id: str = answer["room_id"]

        expected: list[str] = []
        for number in range(CRASHES):
            event_ids = [f"${number}.{each:04}:irc.org" for each in range(BATCH)]
            await _send_amid_a_crash(server, bot, room_id, event_ids, dice)
            found = await _sent(bot, room_id)
            assert found in (expected, expected + event_ids)
            await _send(bot, room_id, event_ids)
            expected += event_ids

        assert await _sent(bot, room_id) == expected


async def _send_amid_a_crash(
    server: Homeserver,
    bot: Person,
    room_id: str,
    event_ids: Sequence[str],
    dice: random.Random,
) -> None:
    sending = asyncio.ensure_future(_send(bot, room_id, event_ids))
    # Until it is somewhere between the request and the answer.
    await asyncio.wait([sending], timeout=dice.uniform(0.0, 0.4))
    await server.kill()
    await asyncio.gather(sending, return_exceptions=True)
    await server.start()


async def _send(bot: Person, room_id: str, event_ids: Sequence[str]) -> None:
    events = [
        {
            "event_id": event_id,
            "type": "m.room.message",
            "sender": SENDER,
            "content": {"msgtype": "m.text", "body": event_id},
        }
        for event_id in event_ids
    ]
    path = f"/com.beeper.backfill/rooms/{quote(room_id)}/batch_send"
    body = {"events": events, "forward": True}
    answer = await replace(bot, version="unstable").call("POST", path, body)
    assert answer["event_ids"] == list(event_ids)


async def _sent(bot: Person, room_id: str) -> list[str]:
    everything = await history(bot, room_id)
    return [event_id for event_id in everything if event_id.endswith(":irc.org")]
