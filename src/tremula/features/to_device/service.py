"""Messages to devices: into the inboxes here, and on their way to other servers."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count, groupby
from operator import attrgetter
from typing import Any, Final

import orjson
import structlog
from msgspec import Struct, field

from tremula.features.to_device import storage
from tremula.features.to_device.storage import InboxMessage, Txn
from tremula.infra.clock import Clock
from tremula.infra.db import Conflict, Reader, Unit
from tremula.infra.federation.durable_edus import DurableEdus
from tremula.infra.journal import DEFAULT_PAYLOAD_BYTES, Journal, JournalUnit
from tremula.protocol.identifiers import DeviceId, ServerName, UserId, server_of
from tremula.protocol.to_device import ALL_DEVICES, DeviceMessage

__all__ = ["EDU_TYPE", "TOPIC", "InboxMessage", "ToDevice", "Told", "Txn"]

log = structlog.get_logger(__name__)

TOPIC: Final = "to_device"
"""Announced with the user ID as key when some device of the user gets a message, or is
deleted. The payload is `Told` if it is all that has changed in the user's inboxes.
"""

Told = Mapping[DeviceId, str]
"""The messages as JSON; only in the process that took them, if there is no other."""

EDU_TYPE: Final = "m.direct_to_device"

# A device that fetches nothing keeps the newest ones only.
_INBOX_MAX: Final = 10_000
# With every 64th request it is looked whether inboxes have become too full.
_LOOK_EVERY: Final = 64

# Servers may bound EDUs as they do events.
_EDU_BYTES_MAX: Final = 60 * 1024
# 24 bytes as Base64: message IDs have "maximum length 32 codepoints".
_MESSAGE_ID_BYTES: Final = 24

_SWEEP_EVERY_S: Final = 3600
_TXNS_KEPT_MS: Final = 7 * 24 * 3600 * 1000
# As long as a server may have repeated what it could not deliver.
_RECEIVED_KEPT_MS: Final = 60 * 24 * 3600 * 1000


DeliveryHook = Callable[[JournalUnit, Collection[UserId], int], None]
"""Told whose devices get messages with a unit, and at which position."""


class ToDevice(Struct, frozen=True):
    """Delivers messages to devices. Implements `DeviceObserver`.

    A message is put into an inbox by a statement that looks for the inbox itself: a
    device that is deleted meanwhile gets none. An inbox keeps the newest 10,000.
    """

    db: Reader
    journal: Journal
    clock: Clock
    own: ServerName
    durable_edus: DurableEdus
    delivered: list[DeliveryHook] = field(default_factory=list)
    _requests: Iterator[int] = field(default_factory=count)

    async def send(
        self, sender: UserId, txn: Txn, messages: Sequence[DeviceMessage]
    ) -> None:
        """Deliver what one of our users sends; once, however often it comes.

        Devices that nobody knows are left out. One unit, and no read; its way through
        the recipient's `/sync` is its part in the unit that deletes what all have
        received in a second, and a read if there are other processes.
        """
        unit = self.journal.unit()
        storage.insert_txn(unit, txn, ts_ms=self.clock.now_ms())
        here = [each for each in messages if server_of(each.user_id) == self.own]
        self._deliver(unit, sender, txn.event_type, here)
        if len(here) < len(messages):
            self._send_to_others(unit, sender, txn.event_type, messages)
        try:
            await self.journal.commit(unit)
        except Conflict:
            if await storage.is_known_txn(self.db, txn):
                return
            raise
        if next(self._requests) % _LOOK_EVERY == 0:
            await self._empty_overfull(here)

    async def receive(
        self,
        origin: ServerName,
        message_id: str,
        sender: UserId,
        event_type: str,
        messages: Sequence[DeviceMessage],
    ) -> None:
        """Deliver what another server sends to our users; once, as with `send`."""
        here = [each for each in messages if server_of(each.user_id) == self.own]
        unit = self.journal.unit()
        storage.insert_received(unit, origin, message_id, ts_ms=self.clock.now_ms())
        self._deliver(unit, sender, event_type, here)
        try:
            await self.journal.commit(unit)
        except Conflict:
            if await storage.is_received(self.db, origin, message_id):
                return
            raise
        if next(self._requests) % _LOOK_EVERY == 0:
            await self._empty_overfull(here)

    async def messages_after(
        self, user_id: UserId, device_id: DeviceId, *, after: int, limit: int
    ) -> list[tuple[int, str]]:
        """The oldest messages in an inbox past a position: ``(pos, event)``."""
        return await storage.messages_after(
            self.db,
            user_id,
            device_id,
            after=after,
            up_to=self.journal.position,
            limit=limit,
        )

    async def messages_at(
        self, user_ids: Collection[UserId], positions: Collection[int]
    ) -> list[InboxMessage]:
        """What is in inboxes of some users (at most 500) since just these positions."""
        return await storage.messages_at(self.db, user_ids, positions)

    def forget(self, unit: Unit, messages: Sequence[InboxMessage]) -> None:
        """Take *messages* out of their inboxes: they have been received otherwise."""
        storage.delete_each(unit, messages)

    def on_delivered(self, hook: DeliveryHook) -> None:
        """Have *hook* add to every unit that puts messages into inboxes."""
        self.delivered.append(hook)

    async def run(self) -> None:
        """Forget what is old once an hour, for the supervisor. All processes do, to no
        harm.
        """
        while True:
            await self.sweep()
            await asyncio.sleep(_SWEEP_EVERY_S)

    async def sweep(self) -> None:
        """Forget which messages came long ago."""
        now_ms = self.clock.now_ms()
        unit = self.journal.unit()
        storage.delete_old_records(
            unit,
            txns_before_ms=now_ms - _TXNS_KEPT_MS,
            received_before_ms=now_ms - _RECEIVED_KEPT_MS,
        )
        await self.journal.commit(unit)

    # The lives of devices

    def device_added(
        self, unit: JournalUnit, user_id: UserId, device_id: DeviceId
    ) -> None:
        """It has an inbox from now on."""
        storage.insert_inbox(unit, user_id, device_id)

    def devices_deleted(
        self, unit: JournalUnit, user_id: UserId, device_ids: Sequence[DeviceId]
    ) -> None:
        """Their inboxes go with them."""
        storage.delete_inboxes(unit, user_id, device_ids)
        unit.announce(TOPIC, user_id, None, pos=unit.pos())

    def all_devices_deleted(
        self,
        unit: JournalUnit,
        user_id: UserId,
        known: Sequence[DeviceId],  # noqa: ARG002 - the rows say which
        *,
        but_device_id: DeviceId | None,
    ) -> None:
        """Their inboxes go with them."""
        storage.delete_inboxes_of_user(unit, user_id, but_device_id=but_device_id or "")
        unit.announce(TOPIC, user_id, None, pos=unit.pos())

    # Here

    def _deliver(
        self,
        unit: JournalUnit,
        sender: UserId,
        event_type: str,
        messages: Sequence[DeviceMessage],
    ) -> None:
        """Put messages into inboxes, all at one position."""
        pos = unit.pos()
        told = _events_by_user(sender, event_type, messages)
        storage.insert_messages(unit, told, pos=pos)
        for user_id, events in told.items():
            if ALL_DEVICES in events:
                # "Only one message can be sent to each device per transaction".
                storage.insert_for_all_devices(
                    unit,
                    user_id,
                    events[ALL_DEVICES],
                    but_device_ids=[each for each in events if each != ALL_DEVICES],
                    pos=pos,
                )
            self._announce(unit, user_id, events, pos)
        user_ids = set(told)
        for hook in self.delivered:
            hook(unit, user_ids, pos)
        unit.wake(user_ids)

    def _announce(
        self, unit: JournalUnit, user_id: UserId, events: Told, pos: int
    ) -> None:
        if self.journal.is_alone and ALL_DEVICES not in events:
            size_bytes = DEFAULT_PAYLOAD_BYTES + sum(map(len, events.values()))
            unit.announce(TOPIC, user_id, events, pos=pos, size_bytes=size_bytes)
        else:
            # All processes would be sent the messages, for one that reads them.
            unit.announce(TOPIC, user_id, None, pos=pos)

    async def _empty_overfull(self, messages: Sequence[DeviceMessage]) -> None:
        user_ids = list({each.user_id for each in messages})
        for start in range(0, len(user_ids), 500):
            found = await storage.overfull_inboxes(
                self.db, user_ids[start : start + 500], messages_max=_INBOX_MAX
            )
            unit = self.journal.unit()
            for user_id, device_id in found:
                log.warning("inbox_overfull", user_id=user_id, device_id=device_id)
                storage.delete_oldest_messages(
                    unit, user_id, device_id, kept_max=_INBOX_MAX
                )
            if found:
                await self.journal.commit(unit)

    # Elsewhere

    def _send_to_others(
        self,
        unit: JournalUnit,
        sender: UserId,
        event_type: str,
        messages: Sequence[DeviceMessage],
    ) -> None:
        by_server: dict[ServerName, list[DeviceMessage]] = {}
        for each in messages:
            by_server.setdefault(server_of(each.user_id), []).append(each)
        by_server.pop(self.own, None)
        for server_name, theirs in by_server.items():
            for part in _parts(theirs):
                content = {
                    "sender": sender,
                    "type": event_type,
                    "message_id": secrets.token_urlsafe(_MESSAGE_ID_BYTES),
                    "messages": _by_user(part),
                }
                self.durable_edus.add(unit, server_name, EDU_TYPE, content)


def _events_by_user(
    sender: UserId, event_type: str, messages: Sequence[DeviceMessage]
) -> Mapping[UserId, Told]:
    beginning = b'{"type":%b,"sender":%b,"content":' % (
        orjson.dumps(event_type),
        orjson.dumps(sender),
    )
    events: dict[UserId, dict[DeviceId, str]] = {}
    for each in messages:
        event = b"%b%b}" % (beginning, each.content)
        events.setdefault(each.user_id, {})[each.device_id] = event.decode()
    return events


def _parts(messages: Sequence[DeviceMessage]) -> Iterator[list[DeviceMessage]]:
    """As many in each as make an EDU of bounded size, or what is larger and belongs
    together alone.
    """
    part: list[DeviceMessage] = []
    size_bytes = 0
    for together in _belonging_together(messages):
        more_bytes = sum(len(each.content) for each in together)
        size_bytes += more_bytes
        if part and size_bytes > _EDU_BYTES_MAX:
            yield part
            part, size_bytes = [], more_bytes
        part += together
    if part:
        yield part


def _belonging_together(
    messages: Sequence[DeviceMessage],
) -> Iterator[list[DeviceMessage]]:
    for _, theirs in groupby(messages, key=attrgetter("user_id")):
        of_user = list(theirs)
        if any(each.device_id == ALL_DEVICES for each in of_user):
            # Whoever is named is left out of what is for all devices: their server
            # does that, within an EDU.
            yield of_user
        else:
            yield from ([each] for each in of_user)


def _by_user(messages: Sequence[DeviceMessage]) -> dict[UserId, dict[DeviceId, Any]]:
    users: dict[UserId, dict[DeviceId, Any]] = {}
    for each in messages:
        content = orjson.Fragment(each.content)
        users.setdefault(each.user_id, {})[each.device_id] = content
    return users
