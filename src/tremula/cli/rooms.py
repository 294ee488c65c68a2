"""``tremula room``: the rooms of a server, straight in the database."""

import asyncio
import sys
from typing import TYPE_CHECKING

from cyclopts import App

from tremula.cli.offline import run_offline
from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.cli.table import date, print_table
from tremula.protocol.identifiers import parse_room_id

if TYPE_CHECKING:
    from tremula.app import Tremula
    from tremula.rooms.storage import ListedRoom

_PAGE = 500
_LOOK_AGAIN_S = 1.0

app = App("room")


@app.command(name="list")
def list_all(*, source: Source = DEFAULT_SOURCE) -> None:
    """List all rooms that this server is in, or was."""

    async def work(server: "Tremula") -> None:
        rooms: list[ListedRoom] = []
        while page := await server.moderation.rooms.page(
            after=rooms[-1].room_nid if rooms else 0, limit=_PAGE
        ):
            rooms += page
        print_table(
            ("room", "version", "members here"),
            [
                (each.room_id, each.version, str(each.joined_local_members))
                for each in rooms
            ],
        )

    run_offline(source.load(), work)


@app.command
def show(room_id: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Show what is known of a room, whether it is blocked, and how far it is deleted.

    Args:
        room_id: The ID of the room, not an alias.
    """

    async def work(server: "Tremula") -> None:
        shown = await server.moderation.rooms.describe(parse_room_id(room_id))
        deletion = shown.pop("deletion", {})
        for name, value in shown.items():
            text = "".join(c if c.isprintable() else " " for c in str(value))
            sys.stdout.write(f"{name}: {text}\n")
        for name, ts_ms in deletion.items():
            step = name.removesuffix("_ts_ms")
            sys.stdout.write(f"deletion {step}: {date(ts_ms)}\n")

    run_offline(source.load(), work)


@app.command
def delete(
    room_id: str, /, *, block: bool = False, source: Source = DEFAULT_SOURCE
) -> None:
    """Have all users of this server leave a room, and delete all that is stored of it.

    What is interrupted goes on when the server runs.

    Args:
        room_id: The ID of the room, not an alias.
        block: Let nobody come into the room afterwards.
    """

    async def work(server: "Tremula") -> None:
        room = parse_room_id(room_id)
        deletions = server.moderation.rooms.deletions
        await deletions.request(room, stays_blocked=block)
        while not await deletions.is_done(room):
            await asyncio.sleep(_LOOK_AGAIN_S)
            await deletions.work_off()
        sys.stdout.write(f"Nothing is left of {room}.\n")

    run_offline(source.load(), work)


@app.command
def block(room_id: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Let nobody of this server come into a room; who is in it stays.

    Args:
        room_id: The ID of the room, be it known here or not.
    """

    async def work(server: "Tremula") -> None:
        room = parse_room_id(room_id)
        await server.moderation.rooms.blocked.block(room)
        sys.stdout.write(f"{room} is blocked.\n")

    run_offline(source.load(), work)


@app.command
def unblock(room_id: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Let users of this server come into a room again.

    Args:
        room_id: The ID of the room.
    """

    async def work(server: "Tremula") -> None:
        room = parse_room_id(room_id)
        await server.moderation.rooms.blocked.unblock(room)
        sys.stdout.write(f"{room} is not blocked.\n")

    run_offline(source.load(), work)
