"""What one application service has not been told yet, of what is not stored."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from msgspec import Struct

from tremula.features.receipts.service import StoredReceipt
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.receipts import ReceiptType

BUFFERED_MAX: Final = 2_000
# Of ephemeral events that are told at once.
EVENTS_BYTES_MAX: Final = 512 * 1024


class TypingNews(Struct, frozen=True):
    """Who types in a room has changed."""

    room_nid: int
    room_id: RoomId

    @property
    def key(self) -> object:
        """Newer news with this key take the place of these."""
        return self.room_nid


class ReceiptNews(Struct, frozen=True):
    """Somebody has read something."""

    room_id: RoomId
    stored: StoredReceipt

    @property
    def key(self) -> tuple[int, UserId, ReceiptType, str | None]:
        """See `TypingNews`."""
        receipt = self.stored.receipt
        return (
            self.stored.room_nid,
            self.stored.user_id,
            receipt.type,
            receipt.thread_id,
        )


class PresenceNews(Struct, frozen=True):
    """Somebody is shown otherwise."""

    user_id: UserId

    @property
    def key(self) -> object:
        """See `TypingNews`."""
        return self.user_id


class EventNews(Struct, frozen=True):
    """Somebody has sent an ephemeral event, whose content is kept elsewhere."""

    room_nid: int
    room_id: RoomId
    event_id: EventId
    size_bytes: int

    @property
    def key(self) -> object:
        """See `TypingNews`; it takes nothing's place."""
        return self.event_id


News = TypingNews | ReceiptNews | PresenceNews | EventNews


class Buffer:
    """The newest 2,000 news, oldest first."""

    __slots__ = ("_news",)

    def __init__(self) -> None:
        self._news: dict[object, News] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._news)

    def put(self, news: News) -> None:
        """Add *news*, in the place of older ones of the same."""
        key = news.key
        if self._news.pop(key, None) is None and len(self._news) >= BUFFERED_MAX:
            del self._news[next(iter(self._news))]
        self._news[key] = news

    def oldest(self, limit: int) -> list[News]:
        """Up to *limit* news, which stay; fewer if they are large."""
        found: list[News] = []
        size_bytes = 0
        for news in islice(self._news.values(), limit):
            size_bytes += news.size_bytes if isinstance(news, EventNews) else 0
            if found and size_bytes > EVENTS_BYTES_MAX:
                break
            found.append(news)
        return found

    def drop(self, told: Iterable[News]) -> None:
        """Forget what was *told*, unless there are newer ones of it."""
        for news in told:
            if self._news.get(news.key) is news:
                del self._news[news.key]
