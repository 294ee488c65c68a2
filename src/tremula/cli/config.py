"""``tremula config``: look at the configuration without starting anything."""

import sys

from cyclopts import App

from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.infra.config import read_example

app = App("config")


@app.command
def check(source: Source = DEFAULT_SOURCE) -> None:
    """Say whether the configuration can be used."""
    config = source.load()
    where = source.file or "no file: defaults, environment and options"
    sys.stdout.write(f"The configuration of {config.server_name} is fine ({where}).\n")


@app.command
def example() -> None:
    """Print a configuration file that shows and explains every key."""
    sys.stdout.write(read_example())
