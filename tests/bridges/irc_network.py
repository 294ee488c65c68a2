"""A network of IRC: an ngircd, and people on it."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bridges.environments import own_program
from tests.bridges.program import Json, Program
from tests.postgres_server import free_port

# Debian's package puts it where only root's PATH leads.
_FOLDERS: Final = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
_SETTINGS: Final = """\
[Global]
    Name = irc.test
    Info = A network for tests
    AdminInfo1 = Nobody
    AdminEMail = nobody@irc.test
    Listen = 127.0.0.1
    Ports = {port}
    MotdPhrase = Hello
[Limits]
    MaxConnectionsIP = 0
    MaxNickLength = 30
[Options]
    DNS = no
    Ident = no
    PAM = no
"""


@dataclass(frozen=True, slots=True)
class IrcUser:
    """Somebody on it; what they saw is taken in its order."""

    program: Program

    async def join(self, channel: str) -> None:
        await self._do("join", channel)
        await self.program.told(seen="join")

    async def part(self, channel: str) -> None:
        await self._do("part", channel)

    async def rename(self, nick: str) -> None:
        await self._do("nick", nick)

    async def say(self, target: str, text: str) -> None:
        await self._do("privmsg", target, text)

    async def sees(self, event_type: str, **fields: object) -> Json:
        """The next event of this type, which may still have to come."""
        return await self.program.told(seen=event_type, **fields)

    def read(self, nick: str) -> list[str]:
        """All that somebody has said in channels."""
        told = self.program.all_told(seen="pubmsg", nick=nick)
        return [text for each in told for text in each["arguments"]]

    async def _do(self, method: str, *arguments: str) -> None:
        await self.program.tell(do=method, **{"with": arguments})


@dataclass(frozen=True, slots=True)
class IrcNetwork:
    """A server that runs; its people leave with *stack*."""

    folder: Path
    port: int
    stack: AsyncExitStack

    async def connect(self, nick: str) -> IrcUser:
        """Somebody who is welcome."""
        arguments = ("127.0.0.1", str(self.port), nick)
        program = own_program("irc_user", *arguments, log=self.folder / f"{nick}.log")
        self.stack.push_async_callback(program.clean_up)
        await program.start()
        await program.told(seen="welcome")
        return IrcUser(program)


def find_ngircd() -> str | None:
    """The program, if it is installed."""
    return shutil.which("ngircd") or shutil.which("ngircd", path=_FOLDERS)


@asynccontextmanager
async def running_irc_network(folder: Path) -> AsyncGenerator[IrcNetwork]:
    """Start one, and end it with all who are on it."""
    program = find_ngircd()
    assert program
    port = free_port()
    settings = _settings_file(folder, port)
    command = (program, "--nodaemon", "--config", settings)
    ngircd = Program(command, folder / "ngircd.log")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(ngircd.clean_up)
        await ngircd.start()
        await ngircd.says("Now listening on")
        yield IrcNetwork(folder, port, stack)


def _settings_file(folder: Path, port: int) -> Path:
    folder.mkdir()
    file = folder / "ngircd.conf"
    file.write_text(_SETTINGS.format(port=port))
    return file
