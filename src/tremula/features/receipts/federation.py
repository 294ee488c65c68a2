"""Receipts between servers (SS "Receipts")."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

import structlog
from msgspec import Struct

from tremula.features.receipts.early import EarlyReceipts
from tremula.features.receipts.service import PUBLIC_TOPIC, Markers, Receipts
from tremula.features.receipts.storage import StoredReceipt
from tremula.infra.clock import Clock
from tremula.infra.federation.destination import Edu
from tremula.infra.federation.queues import Queues
from tremula.infra.journal import Journal
from tremula.infra.together import together
from tremula.protocol.errors import BadJson, Forbidden, MatrixError, NotFound
from tremula.protocol.identifiers import (
    ID_BYTES_MAX,
    EventId,
    RoomId,
    ServerName,
    UserId,
    server_of,
)
from tremula.protocol.receipts import Receipt, ReceiptType, parse_thread_id
from tremula.rooms.reader import RoomReader
from tremula.rooms.remote_users import check_remote_user
from tremula.rooms.view import RoomView

log = structlog.get_logger(__name__)

EDU_TYPE: Final = "m.receipt"

# More in one EDU are left out.
_RECEIPTS_MAX: Final = 500
_AT_ONCE: Final = 50
_EXPIRES_MS: Final = 3_600_000


class _Claim(Struct, frozen=True):
    """What an EDU says that a user has read; nothing of it has been checked."""

    room_id: RoomId
    user_id: UserId
    receipt: object


class ReceiptEdus(Struct, frozen=True):
    """Implements `EduHandler`: what users of other servers have read."""

    receipts: Receipts
    early: EarlyReceipts
    reader: RoomReader
    clock: Clock

    async def receive(self, origin: ServerName, content: Mapping[str, Any]) -> None:
        """Record what users of *origin* have read; others' are left out. What has not
        come yet may come.

        Raises:
            Forbidden: nothing of it could be recorded.
        """
        claims = list(_claims(content))[:_RECEIPTS_MAX]
        taken = 0
        for start in range(0, len(claims), _AT_ONCE):
            part = claims[start : start + _AT_ONCE]
            work = {n: self._record(origin, claim) for n, claim in enumerate(part)}
            taken += sum((await together(work)).values())
        if not taken:
            raise Forbidden("nothing that could be recorded")

    async def _record(self, origin: ServerName, claim: _Claim) -> bool:
        try:
            view = await self.reader.find_room(claim.room_id)
            view = check_remote_user(view, origin, claim.user_id)
            receipt = self._parsed(claim.receipt)
            await self._take(claim.user_id, view, receipt)
        except MatrixError as error:
            log.debug("receipt_dropped", origin=origin, reason=error.message)
            return False
        return True

    async def _take(self, user_id: UserId, view: RoomView, receipt: Receipt) -> None:
        try:
            await self.receipts.record(user_id, view.room_id, Markers((receipt,)))
        except NotFound:
            await self.early.keep(view, user_id, receipt)

    def _parsed(self, raw: object) -> Receipt:
        """The receipt, given not later than now."""
        if not isinstance(raw, dict):
            raise BadJson("a receipt must be an object")
        event_ids, data = raw.get("event_ids"), raw.get("data")
        if not isinstance(event_ids, list) or not isinstance(data, dict):
            raise BadJson("event_ids must be an array and data an object")
        if not event_ids or not isinstance(event_ids[-1], str):
            raise BadJson("event_ids must hold event IDs")
        if len(event_ids[-1].encode()) > ID_BYTES_MAX:
            raise BadJson(f"event IDs have at most {ID_BYTES_MAX} bytes")
        thread_id = data.get("thread_id")
        if thread_id is not None:
            thread_id = parse_thread_id(thread_id)
        now_ms, ts_ms = self.clock.now_ms(), data.get("ts")
        if not isinstance(ts_ms, int) or isinstance(ts_ms, bool):
            ts_ms = now_ms
        # All of them are extremities; one is enough to say where the user is.
        return Receipt(
            ReceiptType.READ,
            EventId(event_ids[-1]),
            thread_id,
            ts_ms=min(max(ts_ms, 0), now_ms),
        )


def _claims(content: Mapping[str, Any]) -> Iterator[_Claim]:
    for room_id, by_type in content.items():
        # There are no other types between servers: private ones stay at home.
        users = by_type.get(ReceiptType.READ) if isinstance(by_type, dict) else None
        for user_id, receipt in users.items() if isinstance(users, dict) else ():
            yield _Claim(RoomId(room_id), UserId(user_id), receipt)


class ReceiptSender:
    """Tells the other servers in a room what our users have read."""

    def __init__(
        self,
        *,
        own: ServerName,
        journal: Journal,
        reader: RoomReader,
        queues: Queues,
        clock: Clock,
    ) -> None:
        self._own = own
        self._reader = reader
        self._queues = queues
        self._clock = clock
        self._noticed: list[StoredReceipt] = []
        self._something_noticed = asyncio.Event()
        journal.subscribe(PUBLIC_TOPIC, self._receipt_stored)

    async def run(self) -> None:
        """Tell for ever; meant for the supervisor."""
        while True:
            await self._something_noticed.wait()
            await self.tell_noticed()

    async def tell_noticed(self) -> None:
        """Tell what was noticed so far."""
        self._something_noticed.clear()
        noticed, self._noticed = self._noticed, []
        room_ids = await self._reader.room_ids({each.room_nid for each in noticed})
        for stored in noticed:
            view = await self._reader.find_room(room_ids[stored.room_nid])
            if view is not None:
                self._tell(view, stored)

    def _receipt_stored(self, _pos: int, _key: object, stored: object) -> None:
        assert isinstance(stored, StoredReceipt)
        if server_of(stored.user_id) == self._own:
            self._noticed.append(stored)
            self._something_noticed.set()

    def _tell(self, view: RoomView, stored: StoredReceipt) -> None:
        others = view.joined_servers.keys() - {self._own}
        if not others:
            return
        receipt = stored.receipt
        data: dict[str, Any] = {"ts": stored.ts_ms}
        if receipt.thread_id is not None:
            data["thread_id"] = receipt.thread_id
        read = {"event_ids": [receipt.event_id], "data": data}
        content: dict[str, Any] = {
            view.room_id: {receipt.type.value: {stored.user_id: read}}
        }
        key = (EDU_TYPE, view.nid, stored.user_id, receipt.thread_id)
        expires_ms = self._clock.now_ms() + _EXPIRES_MS
        self._queues.send_edu(others, key, Edu(EDU_TYPE, content, expires_ms))
