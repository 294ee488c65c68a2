"""What is kept for an application service that is not reached."""

from tremula.features.appservice_ephemeral.buffer import (
    BUFFERED_MAX,
    Buffer,
    PresenceNews,
    ReceiptNews,
    TypingNews,
)
from tremula.features.receipts.service import StoredReceipt
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.protocol.receipts import Receipt, ReceiptType

ROOM = RoomId("!r:test")
ALICE = UserId("@alice:test")


def receipt(event_id: str, thread_id: str | None = None) -> ReceiptNews:
    read = Receipt(ReceiptType.READ, EventId(event_id), thread_id)
    return ReceiptNews(ROOM, StoredReceipt(1, ALICE, read, 1, 1))


def test_newer_news_take_the_place_of_older_ones() -> None:
    buffer = Buffer()
    for news in (
        receipt("$a"),
        TypingNews(1, ROOM),
        PresenceNews(ALICE),
        receipt("$a", "main"),
        receipt("$b"),
        TypingNews(1, ROOM),
    ):
        buffer.put(news)

    assert buffer.oldest(9) == [
        PresenceNews(ALICE),
        receipt("$a", "main"),
        receipt("$b"),
        TypingNews(1, ROOM),
    ]


def test_what_was_told_is_dropped_unless_it_is_newer_again() -> None:
    buffer = Buffer()
    buffer.put(receipt("$a"))
    buffer.put(TypingNews(1, ROOM))
    told = buffer.oldest(9)
    buffer.put(receipt("$b"))
    buffer.drop(told)

    assert buffer.oldest(9) == [receipt("$b")]


def test_the_oldest_give_way() -> None:
    buffer = Buffer()
    for number in range(BUFFERED_MAX + 5):
        buffer.put(TypingNews(number, ROOM))

    assert len(buffer) == BUFFERED_MAX
    assert buffer.oldest(1) == [TypingNews(5, ROOM)]
