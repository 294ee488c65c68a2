"""``tremula …``: the commands. Each imports what it needs only when it runs."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command of this process's arguments and exit with its code."""
    from tremula.cli.commands import run

    sys.exit(run(sys.argv[1:]))
