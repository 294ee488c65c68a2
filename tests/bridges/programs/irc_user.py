"""Somebody on IRC, with the library `irc`; started with HOST PORT NICK.

A command is `{"do": a method of the connection, "with": [its arguments]}`.
"""

import asyncio
import sys

from irc.client import Event
from irc.client_aio import AioReactor

from tests.bridges.programs.lines import commands, say

_SHOWN = ("welcome", "join", "part", "quit", "nick", "pubmsg", "privmsg")


def _show(_connection: object, event: Event) -> None:
    nick = getattr(event.source, "nick", None)
    say(seen=event.type, nick=nick, target=event.target, arguments=event.arguments)


async def main(host: str, port: str, nick: str) -> None:
    reactor = AioReactor(loop=asyncio.get_running_loop())
    for event_type in _SHOWN:
        reactor.add_global_handler(event_type, _show)
    connection = reactor.server()
    await connection.connect(host, int(port), nick)
    async for command in commands():
        getattr(connection, command["do"])(*command["with"])


asyncio.run(main(*sys.argv[1:]))
