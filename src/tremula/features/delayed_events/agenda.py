"""What is scheduled, in memory, in the order in which it is due."""

import heapq
from collections import defaultdict
from collections.abc import Collection

from tremula.features.delayed_events.storage import Item
from tremula.infra.slots import slot_of
from tremula.protocol.identifiers import RoomId

_State = tuple[RoomId, str, str]


class Agenda:
    """Finds what is due, and what would set a piece of state.

    Some 400 bytes an event; how many there are is bounded for each user.
    """

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        # May hold times that do not count any more.
        self._times: list[tuple[int, str]] = []
        self._by_state: defaultdict[_State, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Note an event, or another time for it."""
        self._items[item.delay_id] = item
        heapq.heappush(self._times, (item.send_ts_ms, item.delay_id))
        if item.state_key is not None:
            state = (item.room_id, item.type, item.state_key)
            self._by_state[state].add(item.delay_id)
        if len(self._times) > 64 + 2 * len(self._items):
            # Heartbeats leave one time each behind.
            self._times = [(each.send_ts_ms, d) for d, each in self._items.items()]
            heapq.heapify(self._times)

    def drop(self, delay_id: str) -> None:
        """Forget an event."""
        item = self._items.pop(delay_id, None)
        if item is None or item.state_key is None:
            return
        state = (item.room_id, item.type, item.state_key)
        self._by_state[state].discard(delay_id)
        if not self._by_state[state]:
            del self._by_state[state]

    def drop_slots(self, slots: Collection[int]) -> None:
        """Forget the events of users whose slots have gone."""
        for item in list(self._items.values()):
            if slot_of(item.user_id) in slots:
                self.drop(item.delay_id)

    def of_state(self, room_id: RoomId, key: tuple[str, str]) -> list[Item]:
        """The events that would set the state at *key*, ``(type, state_key)``."""
        delay_ids = self._by_state.get((room_id, *key), ())
        return [self._items[delay_id] for delay_id in delay_ids]

    @property
    def next_ts_ms(self) -> int | None:
        """When the next event is due."""
        self._drop_old_times()
        return self._times[0][0] if self._times else None

    def take_due(self, now_ms: int) -> list[Item]:
        """The events that are due; they are noted here no more."""
        due = []
        self._drop_old_times()
        while self._times and self._times[0][0] <= now_ms:
            item = self._items[self._times[0][1]]
            self.drop(item.delay_id)
            due.append(item)
            self._drop_old_times()
        return due

    def _drop_old_times(self) -> None:
        while self._times:
            ts_ms, delay_id = self._times[0]
            item = self._items.get(delay_id)
            if item is not None and item.send_ts_ms == ts_ms:
                return
            heapq.heappop(self._times)
