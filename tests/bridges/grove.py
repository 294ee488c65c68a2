"""Grove, a bridge of our own in Go, to a network that the tests play."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.bridges.environments import GROVE
from tests.bridges.program import Program
from tests.server import SERVER_NAME

BOT: Final = f"@grovebot:{SERVER_NAME}"
Settings = dict[str, Any]
# What the network tells of a message.
Message = Mapping[str, object]


def ghost(name: str) -> str:
    """Who stands for somebody of the network."""
    return f"@grove_{name}:{SERVER_NAME}"


@dataclass(frozen=True, slots=True)
class Grove:
    """The bridge, with its configuration and its database in *folder*."""

    folder: Path

    @property
    def registration(self) -> Path:
        """The file that the bridge generates."""
        return self.folder / "registration.yaml"

    def configure(self, **sections: Settings) -> None:
        """Set what is to differ from its defaults, or from what is set."""
        self.folder.mkdir(exist_ok=True)
        settings: Settings = _DEFAULTS | {"database": self._database()}
        if self._config.exists():
            settings = yaml.safe_load(self._config.read_text())
        for name, section in sections.items():
            settings[name] = settings.get(name, {}) | section
        self._config.write_text(yaml.safe_dump(settings))

    async def generate(self) -> None:
        """Have it write its registration."""
        program = self._program("--generate-registration")
        await program.start()
        await program.says("Registration generated")
        await program.clean_up()

    def program(self) -> Program:
        """The bridge itself, to be started."""
        return self._program()

    @property
    def _config(self) -> Path:
        return self.folder / "config.yaml"

    def _program(self, *arguments: str) -> Program:
        files = ("--config", self._config, "--registration", self.registration)
        return Program((GROVE, *files, *arguments), self.folder / "grove.log")

    def _database(self) -> Settings:
        uri = f"file:{self.folder / 'grove.db'}?_txlock=immediate"
        return {"type": "sqlite3-fk-wal", "uri": uri}


_DEFAULTS: Final[Settings] = {
    "homeserver": {"address": "http://nowhere.test", "domain": SERVER_NAME},
    "bridge": {
        "permissions": {SERVER_NAME: "admin"},
        # By event IDs, which its database remembers: of what it was told last before it
        # was killed the homeserver may not know whether it has got it.
        "deduplicate_matrix_messages": True,
    },
    "encryption": {
        "allow": True,
        "default": True,
        "require": True,
        "appservice": True,
    },
    "backfill": {"enabled": True},
    "logging": {
        "min_level": "debug",
        "writers": [{"type": "stdout", "format": "pretty"}],
    },
}


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat of the network, which the bridge's user is in as well."""

    name: str
    user: str
    members: Sequence[str]
    said: list[Message] = field(default_factory=list)

    def keep(self, member: str, body: str) -> Message:
        """Note that somebody has said something there, which the bridge isn't told."""
        number = len(self.said) + 1
        message_id = f"{self.name} {number}"
        message = {"number": number, "id": message_id, "from": member, "body": body}
        self.said.append(message)
        return message

    async def say(self, bridge: Program, member: str, body: str) -> None:
        """Say something there now."""
        message = self.keep(member, body)
        await bridge.tell(to=self.user, chat=self.name, said=message)

    async def show(self, bridge: Program) -> None:
        """Tell the bridge all, as the network does whenever the bridge comes back.

        What has happened in the chat before, the bridge is done with then.
        """
        members = [self.user, *self.members]
        await bridge.tell(
            to=self.user, chat=self.name, members=members, lately=self.said
        )
        await bridge.told(seen="history", chat=self.name)
