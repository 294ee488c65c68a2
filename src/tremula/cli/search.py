"""``tremula search``: the indexes that messages and people are found by."""

import sys
from typing import TYPE_CHECKING

from cyclopts import App

from tremula.cli.offline import run_offline
from tremula.cli.source import DEFAULT_SOURCE, Source

if TYPE_CHECKING:
    from tremula.app import Tremula

app = App("search")


@app.command
def rebuild(*, source: Source = DEFAULT_SOURCE) -> None:
    """Have the indexes made anew, of messages and of people.

    The server does it after its next start, beside its work. Until then searches find
    what is indexed already, the oldest messages first. It is never needed but after
    somebody has changed the database by hand.
    """

    async def work(server: "Tremula") -> None:
        from tremula.assembly.searching import rebuild_indexes

        await rebuild_indexes(server.database)
        sys.stdout.write("The indexes are made anew when the server starts.\n")

    run_offline(source.load(), work)
