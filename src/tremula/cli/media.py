"""``tremula media``: files, straight in the database and the store."""

import sys
import time
from typing import TYPE_CHECKING

from cyclopts import App

from tremula.cli.failures import CommandFailed, ExitCode
from tremula.cli.offline import run_offline
from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.cli.table import date, print_table

if TYPE_CHECKING:
    from tremula.app import Tremula
    from tremula.features.media.storage import Media
    from tremula.protocol.identifiers import UserId
    from tremula.protocol.mxc import Mxc

_PAGE = 500
_DAY_MS = 86_400_000

app = App("media")


@app.command(name="list")
def list_all(user: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """List what a user has uploaded.

    Args:
        user: A user ID or localpart.
    """

    async def work(server: "Tremula") -> None:
        files = await _of_user(server, await _find_user(server, user))
        print_table(
            ("file", "bytes", "type", "uploaded", "notes"),
            [
                (
                    str(each.mxc),
                    str(each.size_bytes),
                    each.content_type,
                    date(each.created_ts_ms),
                    _notes(each),
                )
                for each in files
            ],
        )

    run_offline(source.load(), work)


@app.command
def delete(uri: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Delete a file, or the copy of another server's.

    Args:
        uri: Its mxc:// URI.
    """

    async def work(server: "Tremula") -> None:
        mxc = (await server.media.get(_parsed(uri))).mxc
        await server.media.delete([mxc])
        sys.stdout.write(f"{mxc} is deleted.\n")

    run_offline(source.load(), work)


@app.command
def delete_all(user: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Delete everything that a user has uploaded.

    Args:
        user: A user ID or localpart.
    """

    async def work(server: "Tremula") -> None:
        user_id = await _find_user(server, user)
        files = await _of_user(server, user_id)
        for start in range(0, len(files), _PAGE):
            await server.media.delete(
                [each.mxc for each in files[start : start + _PAGE]]
            )
        sys.stdout.write(f"{len(files)} files of {user_id} are deleted.\n")

    run_offline(source.load(), work)


@app.command
def quarantine(uri: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Serve a file to nobody, and take it in from nobody, under whatever URI.

    Args:
        uri: Its mxc:// URI.
    """

    async def work(server: "Tremula") -> None:
        await server.media.quarantine(_parsed(uri), by="tremula media")
        sys.stdout.write(f"{uri} is in quarantine.\n")

    run_offline(source.load(), work)


@app.command
def release(uri: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Take a file out of quarantine.

    Args:
        uri: Its mxc:// URI.
    """

    async def work(server: "Tremula") -> None:
        await server.media.release(_parsed(uri))
        sys.stdout.write(f"{uri} is served again.\n")

    run_offline(source.load(), work)


@app.command
def protect(uri: str, /, *, off: bool = False, source: Source = DEFAULT_SOURCE) -> None:
    """Keep a file from being quarantined, and from being deleted by age.

    Args:
        uri: Its mxc:// URI.
        off: Do not, any more.
    """

    async def work(server: "Tremula") -> None:
        await server.media.protect(_parsed(uri), is_protected=not off)
        sys.stdout.write(f"{uri} is {'not ' if off else ''}protected.\n")

    run_offline(source.load(), work)


@app.command
def purge(
    *, unused_days: int, uploads: bool = False, source: Source = DEFAULT_SOURCE
) -> None:
    """Delete copies of other servers' files that nobody has wanted for a while.

    Args:
        unused_days: For how many days nobody has.
        uploads: Delete what users of this server have uploaded, instead.
    """

    async def work(server: "Tremula") -> None:
        since_ms = int(time.time() * 1000) - unused_days * _DAY_MS
        care = server.media
        purged = care.purge_uploads if uploads else care.purge_cache
        deleted = await purged(unused_since_ms=since_ms)
        sys.stdout.write(f"{deleted} files are deleted.\n")

    if unused_days < 0:
        raise CommandFailed("--unused-days must not be negative", ExitCode.CONFIG)
    run_offline(source.load(), work)


async def _find_user(server: "Tremula", name: str) -> "UserId":
    user = await server.accounts.users.find_by_name(name)
    if user is None:
        raise CommandFailed(f"there is no user {name}", ExitCode.REFUSED)
    return user.user_id


async def _of_user(server: "Tremula", user_id: "UserId") -> "list[Media]":
    files: list[Media] = []
    while page := await server.media.of_user(
        user_id, after=files[-1].mxc.media_id if files else "", limit=_PAGE
    ):
        files += page
    return files


def _parsed(uri: str) -> "Mxc":
    from tremula.protocol.mxc import Mxc

    return Mxc.parse(uri)


def _notes(media: "Media") -> str:
    notes = {
        "nothing uploaded yet": media.sha256 is None,
        "in quarantine": media.is_quarantined,
        "protected": media.is_protected,
    }
    return ", ".join(note for note, holds in notes.items() if holds)
