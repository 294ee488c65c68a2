"""Up to where a user has read a room."""

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from tremula.features.receipts.storage import StoredReceipt


class ReadUpTo(Struct):
    """By a user's receipts in a room, private ones as well (CS "Threaded read
    receipts"): ``room_pos`` by those of all threads, ``threads`` by those of one.
    """

    room_pos: int = 0
    threads: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, receipt: StoredReceipt) -> None:
        """Take one of the user's receipts into account."""
        thread = receipt.receipt.thread_id
        if thread is None:
            self.room_pos = max(self.room_pos, receipt.room_pos)
        else:
            before = self.threads.get(thread, 0)
            self.threads[thread] = max(before, receipt.room_pos)

    def covers(self, thread: str, room_pos: int) -> bool:
        """Whether an event of a thread, at this place in the room, has been read."""
        return room_pos <= max(self.room_pos, self.threads.get(thread, 0))


NOTHING_READ = ReadUpTo()


def read_by_room(receipts: Iterable[StoredReceipt]) -> Mapping[int, ReadUpTo]:
    """What receipts of one user say, by room; rooms without any are absent."""
    found: dict[int, ReadUpTo] = {}
    for receipt in receipts:
        found.setdefault(receipt.room_nid, ReadUpTo()).add(receipt)
    return found
