"""``tremula appservice``: bridges and other programs that act as many users.

On a running server, if it is given the address and an administrator's token, else
straight in the database.
"""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson
from cyclopts import App

from tremula.cli.failures import CommandFailed, ExitCode
from tremula.cli.offline import run_offline
from tremula.cli.running_server import RunningServer
from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.cli.table import date, print_table
from tremula.infra.config.environment import TOKEN_VARIABLE

if TYPE_CHECKING:
    from tremula.app import Tremula

_ALL: Final = "/_tremula/admin/v1/appservices"
_MS_PER_HOUR: Final = 3_600_000

app = App("appservice")


@app.command
def add(
    file: Path, /, *, url: str | None = None, source: Source = DEFAULT_SOURCE
) -> None:
    """Add an application service, or change the one with its ID.

    Args:
        file: The registration file that it has made, in YAML.
        url: The address of a running server; $TREMULA_ADMIN_TOKEN is a token for it.
    """
    from tremula.infra.config.registrations import (
        BadRegistrationFile,
        read_registration,
    )

    try:
        registration = read_registration(file)
    except BadRegistrationFile as error:
        raise CommandFailed(str(error), ExitCode.CONFIG) from error

    async def work(server: "Tremula") -> None:
        await server.appservice_administration.put(registration)

    if (running := _running(url)) is not None:
        running.put(_path(registration.id), registration)
    else:
        run_offline(source.load(), work)
    sys.stdout.write(f"{registration.id} is registered.\n")


@app.command(name="list")
def list_all(*, url: str | None = None, source: Source = DEFAULT_SOURCE) -> None:
    """List all application services.

    Args:
        url: The address of a running server; $TREMULA_ADMIN_TOKEN is a token for it.
    """

    async def work(server: "Tremula") -> None:
        _print_all(await server.appservice_administration.summaries())

    if (running := _running(url)) is not None:
        _print_all(running.get(_ALL)["appservices"])
    else:
        run_offline(source.load(), work)


@app.command
def show(
    appservice_id: str, /, *, url: str | None = None, source: Source = DEFAULT_SOURCE
) -> None:
    """Show an application service: what it is, what waits for it, how it says it is.

    Args:
        appservice_id: Its ID.
        url: The address of a running server; $TREMULA_ADMIN_TOKEN is a token for it.
    """

    async def work(server: "Tremula") -> None:
        _print_one(await server.appservice_administration.describe(appservice_id))

    if (running := _running(url)) is not None:
        _print_one(running.get(_path(appservice_id)))
    else:
        run_offline(source.load(), work)


@app.command
def remove(
    appservice_id: str, /, *, url: str | None = None, source: Source = DEFAULT_SOURCE
) -> None:
    """Let an application service in no longer. Its users stay.

    Args:
        appservice_id: Its ID.
        url: The address of a running server; $TREMULA_ADMIN_TOKEN is a token for it.
    """

    async def work(server: "Tremula") -> None:
        await server.appservice_administration.remove(appservice_id)

    if (running := _running(url)) is not None:
        running.delete(_path(appservice_id))
    else:
        run_offline(source.load(), work)
    sys.stdout.write(f"{appservice_id} is removed.\n")


@app.command
def replay(
    appservice_id: str,
    /,
    *,
    hours: float = 24,
    url: str | None = None,
    source: Source = DEFAULT_SOURCE,
) -> None:
    """Tell an application service again of what was sent, as if it had lost it.

    Args:
        appservice_id: Its ID.
        hours: How far back.
        url: The address of a running server; $TREMULA_ADMIN_TOKEN is a token for it.
    """
    since_ms = int(time.time() * 1000 - hours * _MS_PER_HOUR)

    async def work(server: "Tremula") -> None:
        _print_count(
            await server.appservice_administration.replay(
                appservice_id, since_ms=since_ms
            )
        )

    if (running := _running(url)) is not None:
        path = _path(appservice_id) + "/replay"
        _print_count(running.post(path, {"since_ts": since_ms})["events"])
    else:
        run_offline(source.load(), work)


def _running(url: str | None) -> RunningServer | None:
    if url is None:
        return None
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        raise CommandFailed(
            f"with --url, ${TOKEN_VARIABLE} must be an administrator's access token",
            ExitCode.CONFIG,
        )
    return RunningServer(url, token)


def _path(appservice_id: str) -> str:
    return f"{_ALL}/{quote(appservice_id, safe='')}"


def _print_all(summaries: list[dict[str, Any]]) -> None:
    print_table(
        ("appservice", "sender", "url", "file"),
        [
            (
                _shown(each["id"]),
                each["sender"],
                each["url"] or "-",
                "yes" if each["from_file"] else "no",
            )
            for each in summaries
        ],
    )


def _print_one(described: Mapping[str, Any]) -> None:
    for name in ("id", "sender", "url", "owner", "from_file", "waiting_events"):
        sys.stdout.write(f"{name}: {_shown(described[name])}\n")
    if (oldest_ts := described["oldest_waiting_ts"]) is not None:
        sys.stdout.write(f"oldest_waiting: {date(oldest_ts)}\n")
    for kind, namespaces in described["registration"]["namespaces"].items():
        for each in namespaces:
            exclusive = " (exclusive)" if each["exclusive"] else ""
            sys.stdout.write(f"{kind}: {_shown(each['regex'])}{exclusive}\n")
    for state in described["states"]:
        sys.stdout.write(f"state: {_shown(orjson.dumps(state).decode())}\n")


def _print_count(events: int) -> None:
    sys.stdout.write(f"{events} events will be told again.\n")


def _shown(value: object) -> str:
    return "".join(c if c.isprintable() else " " for c in str(value))
