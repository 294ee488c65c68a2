"""Has gaps filled that readers reach, with what other servers have."""

from typing import Final

from msgspec import Struct

from tremula.features.history.reading import Span
from tremula.protocol.identifiers import ServerName
from tremula.rooms.event_store import END_POS
from tremula.rooms.history_gaps import HistoryGap
from tremula.rooms.past import RoomPast
from tremula.rooms.rooms import Rooms
from tremula.rooms.view import RoomView

FILLS_MAX: Final = 3
"""How often other servers are asked on account of one page."""


class GapFilling(Struct, frozen=True):
    """Finds the gaps of rooms that other servers are in, and fills them."""

    past: RoomPast
    rooms: Rooms
    own: ServerName

    async def first_in(self, view: RoomView, span: Span) -> HistoryGap | None:
        """The first gap on the way through *span*, if there is one."""
        if not span.backwards:
            return None
        gap = await self.newest(view, up_to=span.start)
        return None if gap is None or gap.pos <= span.stop else gap

    async def newest(
        self, view: RoomView, *, up_to: int = END_POS
    ) -> HistoryGap | None:
        """The newest gap that there is at the position *up_to* or before."""
        if view.joined_servers.keys() <= {self.own}:
            return None
        return await self.past.newest_gap(view, up_to=up_to)

    def others_in(self, view: RoomView) -> list[ServerName]:
        """The other servers in a room, those with the most users first."""
        counts = view.joined_servers
        return sorted(
            counts.keys() - {self.own}, key=lambda name: (-counts[name], name)
        )

    async def fill(self, view: RoomView, gap: HistoryGap) -> bool:
        """Ask for what is missing; whether reading again shows more, or another gap."""
        is_filled = await self.rooms.fill_gap(view.room_id, gap)
        # Another process has done it, maybe, and this one has still to hear of it.
        view.forget_histories()
        return is_filled
