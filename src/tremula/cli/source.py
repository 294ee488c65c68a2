"""The options that every command shares: where its configuration comes from."""

import os
from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from tremula.cli.failures import CommandFailed, ExitCode
from tremula.infra.config import Config, ConfigError, load_config
from tremula.infra.config.environment import CONFIG_VARIABLE

DEFAULT_FILE = Path("tremula.toml")


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Options over the environment (TREMULA_…) over the file over the defaults."""

    config: Path | None = None
    """The configuration file; else $TREMULA_CONFIG, else ./tremula.toml if present."""

    server_name: str | None = None
    """The part of user ids after the colon."""

    data_dir: str | None = None
    """Where the server keeps its files."""

    database: str | None = None
    """sqlite:FILE or postgresql://USER:PASSWORD@HOST:PORT/NAME."""

    bus: str | None = None
    """nats://HOST:PORT, for several processes that are one server; with commas."""

    listen: tuple[str, ...] = ()
    """ADDRESS:PORT to listen on, instead of the configured ones; may be repeated."""

    @property
    def file(self) -> Path | None:
        """The configuration file that counts, if any."""
        if self.config:
            return self.config
        if named := os.environ.get(CONFIG_VARIABLE):
            return Path(named)
        return DEFAULT_FILE if DEFAULT_FILE.exists() else None

    def load(self) -> Config:
        """The configuration.

        Raises:
            CommandFailed: a key can't be used.
        """
        flags = {
            "server_name": self.server_name,
            "data_dir": self.data_dir,
            "database": self.database,
            "cluster.bus": self.bus,
        }
        given = {key: value for key, value in flags.items() if value is not None}
        try:
            return load_config(self.file, os.environ, flags=given, listen=self.listen)
        except ConfigError as error:
            raise CommandFailed(str(error), ExitCode.CONFIG) from error


DEFAULT_SOURCE = Source()
"""No options at all: what a command gets that is given none."""
