"""``tremula notice``: what the server tells a user, straight in the database."""

import sys
from typing import TYPE_CHECKING

from cyclopts import App

from tremula.cli.failures import CommandFailed, ExitCode
from tremula.cli.offline import run_offline
from tremula.cli.source import DEFAULT_SOURCE, Source

if TYPE_CHECKING:
    from tremula.app import Tremula

app = App("notice")


@app.command
def send(name: str, text: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Tell a user something, in a room of their own.

    Args:
        name: A user ID or localpart.
        text: What to tell.
    """

    async def work(server: "Tremula") -> None:
        user = await server.accounts.users.find_by_name(name)
        if user is None:
            raise CommandFailed(f"there is no user {name}", ExitCode.REFUSED)
        await server.moderation.notices.send(user.user_id, text)
        sys.stdout.write(f"{user.user_id} is told.\n")

    run_offline(source.load(), work)
