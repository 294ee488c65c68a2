"""``tremula key``: the key that this server signs with."""

import sys
from typing import TYPE_CHECKING

from cyclopts import App

from tremula.cli.offline import run_offline
from tremula.cli.source import DEFAULT_SOURCE, Source

if TYPE_CHECKING:
    from tremula.app import Tremula

app = App("key")


@app.command
def rotate(*, source: Source = DEFAULT_SOURCE) -> None:
    """Make a new signing key, which the server uses from its next start on.

    What the old key has signed stays valid: other servers are told until when it was
    used. Those that know it go on accepting it for up to a day.
    """

    async def work(server: "Tremula") -> None:
        key = await server.own_keys.rotate()
        sys.stdout.write(
            f"{key.key_id} takes the place of {server.own_keys.current.key_id}"
            " when the server starts.\n"
        )

    run_offline(source.load(), work)
