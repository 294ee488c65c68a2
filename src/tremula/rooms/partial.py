"""Rooms of whose state a part is not known yet, and how others wait for the rest."""

import asyncio
from typing import Final

from msgspec import Struct, field

from tremula.protocol.errors import Unknown
from tremula.protocol.identifiers import ServerName

COMPLETED_TOPIC: Final = "state_complete"
"""Announced by room nid when all of a room's state has come to be known."""

PATIENCE_S: Final = 60.0
"""How long a request waits for that."""


class PartialState(Struct, frozen=True):
    """A state without its members, but for a few, as a join with ``omit_members`` got.

    It is that before the event ``join_nid``, and stands in the live view at
    ``base_pos``. ``servers`` were in the room then, as the first of them said.
    """

    join_nid: int
    base_pos: int
    servers: tuple[ServerName, ...]


class Completions(Struct):
    """Wakes those who wait for the rest of a room's state."""

    _waiting: dict[int, "asyncio.Future[None]"] = field(
        default_factory=dict[int, "asyncio.Future[None]"]
    )

    async def wait(self, room_nid: int, *, patience_s: float = PATIENCE_S) -> None:
        """Wait until all is known of a room of which a part is missing now.

        Raises:
            Unknown: (504) it takes too long.
        """
        future = self._waiting.get(room_nid)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._waiting[room_nid] = future
        try:
            async with asyncio.timeout(patience_s):
                await asyncio.shield(future)
        except TimeoutError as error:
            message = "this server does not know all members of the room yet"
            raise Unknown(message, status=504) from error

    def done(self, room_nid: int) -> None:
        """There is nothing to wait for any more."""
        future = self._waiting.pop(room_nid, None)
        if future is not None:
            future.set_result(None)
