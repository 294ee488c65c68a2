"""What one application service has not been told yet, of what is not stored."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from tremula.features.receipts.service import StoredReceipt
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.receipts import ReceiptType

BUFFERED_MAX: Final = 2_000


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


News = TypingNews | ReceiptNews | PresenceNews


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
        """Up to *limit* news, which stay."""
        return [
            news for news, _ in zip(self._news.values(), range(limit), strict=False)
        ]

    def drop(self, told: Iterable[News]) -> None:
        """Forget what was *told*, unless there are newer ones of it."""
        for news in told:
            if self._news.get(news.key) is news:
                del self._news[news.key]
