"""``tremula user``: accounts, straight in the database."""

import sys
from getpass import getpass
from typing import TYPE_CHECKING

from cyclopts import App

from tremula.cli.failures import CommandFailed, ExitCode
from tremula.cli.offline import run_offline
from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.cli.table import date, print_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tremula.app import Tremula
    from tremula.features.account_moderation.service import AccountModeration
    from tremula.features.users.service import User
    from tremula.protocol.identifiers import UserId

_PAGE = 500

app = App("user")


@app.command
def create(
    name: str, /, *, admin: bool = False, source: Source = DEFAULT_SOURCE
) -> None:
    """Make an account. The password is asked for, or read from a pipe.

    Args:
        name: The localpart of the user ID, such as alice.
        admin: Make the user a server administrator.
    """

    async def work(server: "Tremula") -> None:
        user_id = await server.accounts.create_user(name, password, is_admin=admin)
        sys.stdout.write(f"{user_id} can log in.\n")

    config = source.load()
    password = _read_password()
    run_offline(config, work)


@app.command(name="list")
def list_all(*, source: Source = DEFAULT_SOURCE) -> None:
    """List all accounts."""

    async def work(server: "Tremula") -> None:
        users: list[User] = []
        while page := await server.accounts.list_users(
            after=users[-1].user_id if users else "", limit=_PAGE
        ):
            users += page
        print_table(
            ("user", "made", "notes"),
            [(each.user_id, date(each.created_ts_ms), _notes(each)) for each in users],
        )

    run_offline(source.load(), work)


@app.command
def deactivate(
    name: str, /, *, erase: bool = False, source: Source = DEFAULT_SOURCE
) -> None:
    """Close an account for good; its user leaves all rooms.

    Args:
        name: A user ID or localpart.
        erase: Also remove what the user has stored.
    """

    async def work(server: "Tremula") -> None:
        user = await _find(server, name)
        await server.accounts.deactivate(user.user_id, is_erased=erase)
        sys.stdout.write(f"{user.user_id} is deactivated.\n")

    run_offline(source.load(), work)


@app.command
def set_password(name: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Give an account another password, and log out all its devices.

    Args:
        name: A user ID or localpart.
    """

    async def work(server: "Tremula") -> None:
        user = await _find(server, name)
        await server.accounts.set_password(user.user_id, password)
        sys.stdout.write(f"{user.user_id} has a new password.\n")

    config = source.load()
    password = _read_password()
    run_offline(config, work)


@app.command
def make_admin(name: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Make a user a server administrator.

    Args:
        name: A user ID or localpart.
    """

    async def work(server: "Tremula") -> None:
        user = await _find(server, name)
        await server.accounts.set_admin(user.user_id, is_admin=True)
        sys.stdout.write(f"{user.user_id} is an administrator.\n")

    run_offline(source.load(), work)


@app.command
def lock(name: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Keep a user from using the account at all; sessions stay for later.

    Args:
        name: A user ID or localpart.
    """
    _moderate(name, source, "is locked", lambda m, u: m.set_locked(u, is_locked=True))


@app.command
def unlock(name: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Let a user use the account again.

    Args:
        name: A user ID or localpart.
    """
    _moderate(
        name, source, "is not locked", lambda m, u: m.set_locked(u, is_locked=False)
    )


@app.command
def suspend(name: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Let a user read and leave rooms, and do nothing that others see.

    Args:
        name: A user ID or localpart.
    """
    _moderate(
        name, source, "is suspended", lambda m, u: m.set_suspended(u, is_suspended=True)
    )


@app.command
def unsuspend(name: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """End the suspension of an account.

    Args:
        name: A user ID or localpart.
    """
    _moderate(
        name,
        source,
        "is not suspended",
        lambda m, u: m.set_suspended(u, is_suspended=False),
    )


def _moderate(
    name: str,
    source: Source,
    outcome: str,
    change: "Callable[[AccountModeration, UserId], Awaitable[None]]",
) -> None:
    async def work(server: "Tremula") -> None:
        user = await _find(server, name)
        await change(server.moderation.accounts, user.user_id)
        sys.stdout.write(f"{user.user_id} {outcome}.\n")

    run_offline(source.load(), work)


async def _find(server: "Tremula", name: str) -> "User":
    user = await server.accounts.users.find_by_name(name)
    if user is None:
        raise CommandFailed(f"there is no user {name}", ExitCode.REFUSED)
    return user


def _notes(user: "User") -> str:
    notes = {
        "administrator": user.is_admin,
        "guest": user.is_guest,
        "deactivated": user.is_deactivated,
        "locked": user.is_locked,
        "suspended": user.is_suspended,
    }
    return ", ".join(note for note, holds in notes.items() if holds)


def _read_password() -> str:
    if sys.stdin.isatty():
        password = getpass("Password: ")
        if getpass("Again: ") != password:
            raise CommandFailed("the passwords differ", ExitCode.REFUSED)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandFailed("no password was given", ExitCode.REFUSED)
    return password
