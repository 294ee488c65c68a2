"""What the published directory shows of a room, searched and paged. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from tremula.protocol.opaque_tokens import format_token, parse_token
from tremula.rooms.summary import published_room, text_in
from tremula.rooms.view import RoomView

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 500

_SEARCHED: Final = ("name", "topic", "canonical_alias")


class Entry(Struct, frozen=True):
    """A published room as it is now.

    ``shown`` is the CS ``PublishedRoomsChunk``; ``search_text`` is what a search
    term is looked for in, case-folded. Rooms that are not federated are for our own
    users only.
    """

    room_id: str
    joined_count: int
    room_type: str | None
    is_federated: bool
    shown: dict[str, Any]
    search_text: str

    @property
    def rank(self) -> tuple[int, str]:
        """The directory's order: most members first, then by room id."""
        return (-self.joined_count, self.room_id)


def entry_of(view: RoomView) -> Entry:
    """The entry of a room from its committed state."""
    shown = published_room(view)
    searched = (shown.get(key) for key in _SEARCHED)
    return Entry(
        room_id=view.room_id,
        joined_count=view.joined_count,
        room_type=text_in(view, "m.room.create", "type"),
        is_federated=view.is_federated,
        shown=shown,
        search_text="\n".join(text for text in searched if text).casefold(),
    )


class Search(Struct, frozen=True):
    """Which entries to list. ``room_types`` holds None for rooms without a type.

    Other servers are shown rooms only that their users could join: ``federated_only``.
    """

    term: str | None = None
    room_types: frozenset[str | None] | None = None
    federated_only: bool = False

    def matches(self, entry: Entry) -> bool:
        """Whether *entry* is listed."""
        if self.federated_only and not entry.is_federated:
            return False
        if self.room_types is not None and entry.room_type not in self.room_types:
            return False
        return not self.term or self.term.casefold() in entry.search_text


class PageToken(msgspec.Struct, array_like=True, frozen=True):
    """A place between two entries, and the direction to read from it.

    It names the neighbouring entry's rank and not a number of entries, so that
    rooms that come and go in the meantime neither repeat nor hide others.
    """

    forwards: bool
    rank: tuple[int, str]

    def format(self) -> str:
        """The token for clients."""
        return format_token(self)

    @classmethod
    def parse(cls, raw: str) -> "PageToken":
        """The token that `format` gave.

        Raises:
            InvalidParam: *raw* is no such token.
        """
        return parse_token(raw, cls)


def page(
    ranked: Sequence[Entry], *, since: PageToken | None, limit: int
) -> dict[str, Any]:
    """A page of *ranked* entries as CS getPublicRooms answers it."""
    start, end = _span(ranked, since, limit)
    chunk = ranked[start:end]
    answer: dict[str, Any] = {
        "chunk": [entry.shown for entry in chunk],
        "total_room_count_estimate": len(ranked),
    }
    if end < len(ranked) and chunk:
        answer["next_batch"] = PageToken(True, chunk[-1].rank).format()
    if start > 0 and chunk:
        answer["prev_batch"] = PageToken(False, chunk[0].rank).format()
    return answer


def _span(
    ranked: Sequence[Entry], since: PageToken | None, limit: int
) -> tuple[int, int]:
    if since is None:
        return 0, limit
    if since.forwards:
        start = bisect_right(ranked, since.rank, key=lambda entry: entry.rank)
        return start, start + limit
    end = bisect_left(ranked, since.rank, key=lambda entry: entry.rank)
    return max(0, end - limit), end
