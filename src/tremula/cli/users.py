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
    from tremula.app import Tremula
    from tremula.features.users.service import User

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
