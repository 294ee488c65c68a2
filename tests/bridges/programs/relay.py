"""A bridgebot: its bot repeats in one room what is said in the other.

Started with HOMESERVER REGISTRATION PORT; a command is `{"link": [room, room]}`.
"""

import asyncio
import sys

from mautrix.types import EventType, Format, MessageType, TextMessageEventContent

from tests.bridges.programs import appservice
from tests.bridges.programs.appservice import Event
from tests.bridges.programs.lines import commands, say


async def main(homeserver: str, registration: str, port: str) -> None:
    service = appservice.build(homeserver, registration)
    others: dict[str, str] = {}

    async def repeat(event: Event) -> None:
        if event.type != EventType.ROOM_MESSAGE or event.sender == service.bot_mxid:
            return
        if event.room_id in others:
            name = event.sender.split(":")[0].removeprefix("@")
            text = TextMessageEventContent(
                msgtype=MessageType.TEXT,
                body=f"{name}: {event.content.body}",
                format=Format.HTML,
                formatted_body=f"<b>{name}</b>: {event.content.body}",
            )
            await service.intent.send_message(others[event.room_id], text)

    service.matrix_event_handler(repeat)
    await appservice.start(service, port)
    say(seen="ready")
    async for command in commands():
        one, other = command["link"]
        others |= {one: other, other: one}
        say(seen="link")


asyncio.run(main(*sys.argv[1:]))
