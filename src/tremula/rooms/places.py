"""Places in a room that clients name by a token, of whichever kind."""

from msgspec import Struct

from tremula.infra.db import Reader
from tremula.infra.tokens import StreamToken
from tremula.rooms import events_storage
from tremula.rooms.tokens import parse_place
from tremula.rooms.view import RoomView


class Places(Struct, frozen=True):
    """Reads ``from``, ``to`` and ``at`` of clients."""

    db: Reader

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
