"""What the topics of the journal have said lately."""

from collections.abc import Hashable, Sequence
from collections.abc import Set as AbstractSet

from tremula.infra.tail import TopicTail


class Tails:
    """The tail of each topic. Changes after ``start_pos`` are known in memory, until
    one drops them.
    """

    __slots__ = ("_by_topic", "_heard", "start_pos")

    def __init__(self, start_pos: int) -> None:
        self.start_pos = start_pos
        self._by_topic: dict[str, TopicTail] = {}
        # The topics that have said something since a position: the last answer.
        self._heard: tuple[int, frozenset[str]] | None = None

    def append(
        self, topic: str, pos: int, key: Hashable, payload: object, size_bytes: int
    ) -> None:
        """Remember an announcement."""
        self._heard = None
        tail = self._by_topic.get(topic)
        if tail is None:
            tail = self._new_tail(topic)
        tail.append(pos, key, payload, size_bytes)

    def skip(self, topic: str, pos: int, key: Hashable) -> None:
        """Remember nothing of *key* up to *pos*, as not all of it was announced."""
        self._heard = None
        tail = self._by_topic.get(topic)
        if tail is None:
            tail = self._new_tail(topic)
        tail.skip(key, pos)

    def _new_tail(self, topic: str) -> TopicTail:
        tail = self._by_topic[topic] = TopicTail(self.start_pos)
        return tail

    def forget(self, up_to: int) -> None:
        """Remember nothing from before *up_to*."""
        self.start_pos = max(self.start_pos, up_to)
        self._by_topic.clear()
        self._heard = None

    def heard(self, after: int) -> AbstractSet[str] | None:
        """The topics that have said something after position *after*; None if memory
        does not reach back that far.

        Of many who wait for the same news, the first one pays: a comparison a topic.
        """
        if after < self.start_pos:
            return None
        if self._heard is None or self._heard[0] != after:
            tails = self._by_topic.items()
            heard = frozenset(topic for topic, tail in tails if tail.newest_pos > after)
            self._heard = (after, heard)
        return self._heard[1]

    def changed_pos(self, topic: str, key: Hashable) -> int:
        """A position after which *key* has not changed: its newest, if remembered.

        A key that memory does not know answers ``start_pos`` or, once old changes
        had to be forgotten, a later one: never too low. So ``changed_pos(…) <= since``
        means "nothing new", and anything else "look".
        """
        tail = self._by_topic.get(topic)
        return self.start_pos if tail is None else tail.changed_pos(key)

    def after(
        self, topic: str, key: Hashable, pos: int
    ) -> Sequence[tuple[int, object]] | None:
        """``(pos, payload)`` of *key* after position *pos*, oldest first.

        None if the tail no longer reaches back that far: ask the database.
        """
        tail = self._by_topic.get(topic)
        if tail is not None:
            return tail.after(key, pos)
        return None if pos < self.start_pos else []

    def newest(
        self, topic: str, key: Hashable, count: int, *, up_to: int
    ) -> list[object]:
        """The newest *count* payloads of *key* up to position *up_to* that memory has,
        oldest first.
        """
        tail = self._by_topic.get(topic)
        return [] if tail is None else tail.newest(key, count, up_to=up_to)

    def changed_keys(self, topic: str, after: int) -> AbstractSet[Hashable] | None:
        """The keys of *topic* that changed after *after*; costs what changed.

        None if the tail no longer reaches back that far: ask the database.
        """
        tail = self._by_topic.get(topic)
        if tail is not None:
            return tail.keys_after(after)
        return None if after < self.start_pos else frozenset()
