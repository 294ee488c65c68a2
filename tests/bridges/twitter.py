"""mautrix-twitter, for a homeserver that is hungry."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.bridges.environments import public
from tests.bridges.program import Program
from tests.server import SERVER_NAME

BOT: Final = f"@twitterbot:{SERVER_NAME}"
_READY: Final = "Startup actions complete"


@dataclass(frozen=True, slots=True)
class Twitter:
    """The bridge, which nobody logs in to Twitter with."""

    folder: Path
    port: int

    @property
    def registration(self) -> Path:
        """The file that the homeserver is to load."""
        return self.folder / "registration.yaml"

    async def generate(self) -> None:
        """Have it write its registration, and the rest of its settings."""
        self._config.write_text(yaml.safe_dump(self._settings()))
        program = self._program("http://nowhere.test", "generate.log", "--generate")
        await program.start()
        await program.says("Registration generated")
        await program.stop()
        # By hand, as its documentation has it.
        with self.registration.open("a") as registration:
            registration.write("org.matrix.msc3202: true\n")

    async def start(self, homeserver_url: str) -> Program:
        """Start it, and wait until it has."""
        program = self._program(homeserver_url, "twitter.log")
        await program.start()
        await program.says(_READY)
        return program

    @property
    def _config(self) -> Path:
        return self.folder / "config.yaml"

    def _program(self, homeserver_url: str, log: str, *arguments: str) -> Program:
        files = ("--config", self._config, "--registration", self.registration)
        # Known after the registration only, which the homeserver starts with.
        settings = {
            "MAUTRIX_TWITTER_HOMESERVER_ADDRESS": homeserver_url,
            "MAUTRIX_TWITTER_HOMESERVER_STATUS_ENDPOINT": (
                f"{homeserver_url}/bridgebox/alice/bridge/twitter/bridge_state"
            ),
        }
        command: tuple[str | Path, ...] = (
            public("python"),
            "-m",
            "mautrix_twitter",
            *files,
            *arguments,
        )
        return Program(command, self.folder / log, settings)

    def _settings(self) -> dict[str, Any]:
        return {
            "homeserver": {
                "address": "http://nowhere.test",
                "domain": SERVER_NAME,
                "software": "hungry",
            },
            "appservice": {
                "address": f"http://127.0.0.1:{self.port}",
                "hostname": "127.0.0.1",
                "port": self.port,
                "database": f"sqlite:{self.folder / 'twitter.db'}",
            },
            "bridge": {
                "permissions": {SERVER_NAME: "user"},
                "encryption": {"allow": True, "default": True, "appservice": True},
            },
        }
