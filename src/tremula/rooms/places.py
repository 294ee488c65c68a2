"""Places in a room that clients name by a token, of whichever kind."""

from msgspec import Struct

from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.infra.tokens import StreamToken
from tremula.rooms import events_storage
from tremula.rooms.tokens import parse_place
from tremula.rooms.view import RoomView


class Places(Struct, frozen=True):
    """Reads ``from``, ``to`` and ``at`` of clients."""

    db: Reader
    journal: Journal

    async def was_ahead(self, view: RoomView, raw: str) -> bool:
        """Whether another process has shown more of the room than *view* has, up to
        the place that *raw* names; if so, all of that is visible here by now.

        Raises:
            InvalidParam: *raw* is not a token of this server.
            Unknown: (503) that takes too long.
        """
        if self.journal.is_alone or await self.parse(view, raw) <= view.room_pos:
            return False
        newest = await events_storage.find_newest(self.db, view.nid)
        if newest is None or newest.room_pos <= view.room_pos:
            return False
        await self.journal.settled(newest.journal_pos)
        return True

    async def parse(self, view: RoomView, raw: str) -> int:
        """The position of the newest event before the place that *raw* names.

        Pagination tokens and the stream tokens of `/sync` both name one; only the
        latter cost a query.

        Raises:
            InvalidParam: *raw* is not a token of this server.
        """
        if not raw.startswith("s"):
            return parse_place(raw)
        token = StreamToken.parse(raw)
        return await events_storage.newest_pos_up_to(
            self.db, view.nid, event_nid=token.pos
        )
