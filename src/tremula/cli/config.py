"""``tremula config``: look at the configuration without starting anything."""

import sys

from tremula.cli.source import Source
from tremula.infra.config import read_example

_NO_OPTIONS = Source()


def check(source: Source = _NO_OPTIONS) -> None:
    """Say whether the configuration can be used."""
    config = source.load()
    where = source.file or "no file: defaults, environment and options"
    sys.stdout.write(f"The configuration of {config.server_name} is fine ({where}).\n")


def example() -> None:
    """Print a configuration file that shows and explains every key."""
    sys.stdout.write(read_example())
