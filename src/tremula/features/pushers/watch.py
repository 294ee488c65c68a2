"""Sees for whom there may be something to deliver."""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Final

from tremula.features.push.service import MARKS_TOPIC, EventMarks, PushRules
from tremula.features.pushers.deliveries import Deliveries
from tremula.features.pushers.pushed_users import PushedUsers
from tremula.features.pushers.service import TOPIC as PUSHERS_TOPIC
from tremula.features.receipts.service import (
    PRIVATE_TOPIC,
    PUBLIC_TOPIC,
    StoredReceipt,
)
from tremula.infra.journal import Journal
from tremula.protocol.identifiers import UserId

# Clients send receipts for one event after the other as somebody scrolls.
_AFTER_READING_MS: Final = 2_000
# More are not gone through one by one.
_WAITING_MAX: Final = 10_000


class Watch:
    """Notes who is to be looked at: only those who have pushers, and are notified.

    All processes see the same; those notes count that are of slots held there.
    """

    def __init__(
        self,
        journal: Journal,
        users: PushedUsers,
        push_rules: PushRules,
        deliveries: Deliveries,
    ) -> None:
        self._users = users
        self._push_rules = push_rules
        self._deliveries = deliveries
        self._waiting: deque[EventMarks] = deque()
        self._something_waits = asyncio.Event()
        journal.subscribe(MARKS_TOPIC, self._marked)
        journal.subscribe(PUBLIC_TOPIC, self._receipt_moved)
        journal.subscribe(PRIVATE_TOPIC, self._receipt_moved)
        journal.subscribe(PUSHERS_TOPIC, self._pushers_changed)
        journal.on_forget(deliveries.note_all)

    async def run(self) -> None:
        """Watch for ever; meant for the supervisor."""
        # What an earlier run has failed at was not noted.
        self._deliveries.note_all()
        while True:
            self._something_waits.clear()
            while self._waiting:
                await self.note_notified(self._waiting.popleft())
            await self._something_waits.wait()

    async def note_notified(self, marks: EventMarks) -> None:
        """Note whom an event notifies: of those joined, and of those named in it."""
        room = await self._users.in_room(marks.room_nid)
        named = {UserId(key) for key in marks.marks if key in self._users}
        for user_id in room.users | named:
            ruleset = (await self._push_rules.of(user_id)).key_in(room.room_id)
            if marks.actions_for(user_id, ruleset) is not None:
                self._deliveries.note(user_id)

    def _marked(self, _pos: int, _room_nid: Hashable, marks: object) -> None:
        if not self._users or not isinstance(marks, EventMarks):
            return
        if len(self._waiting) >= _WAITING_MAX:
            self._waiting.clear()
            self._deliveries.note_all()
        self._waiting.append(marks)
        self._something_waits.set()

    def _receipt_moved(self, _pos: int, _key: Hashable, receipt: object) -> None:
        assert isinstance(receipt, StoredReceipt)
        if receipt.user_id in self._users:
            self._deliveries.note(receipt.user_id, in_ms=_AFTER_READING_MS)

    def _pushers_changed(self, _pos: int, user_id: Hashable, _payload: object) -> None:
        assert isinstance(user_id, str)
        self._deliveries.note(UserId(user_id))
