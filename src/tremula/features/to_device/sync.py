"""The inbox of a device in `/sync`."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, cast

import structlog
from msgspec import Struct

from tremula.features.sync.parts import InboxPage, SyncContext
from tremula.features.to_device import storage
from tremula.features.to_device.service import TOPIC, Told
from tremula.infra.cache import ByteLRU
from tremula.infra.db import DatabaseUnavailable, Reader
from tremula.infra.journal import Journal
from tremula.infra.tokens import StreamToken
from tremula.protocol.errors import Unknown
from tremula.protocol.identifiers import DeviceId, UserId

log = structlog.get_logger(__name__)

# "100 messages is recommended as a reasonable limit."
PAGE_MAX: Final = 100

GATHERED_S: Final = 1.0
"""For so long receipts are gathered; their messages are then deleted all at once."""

_KNOWN_BYTES: Final = 8 * 1024 * 1024
_ENTRY_BYTES: Final = 300

_NOTHING: Final = InboxPage()


class _Known(Struct):
    """Up to where a device has its messages, and was last shown some by this process.

    What is not known is looked up: losing this costs a query.
    """

    received_pos: int | None = None
    shown_pos: int = 0

    def has_shown(self, up_to: int) -> bool:
        """Whether there are messages up to that position for certain."""
        return (self.received_pos or 0) < self.shown_pos <= up_to


class DeviceInbox:
    """Implements `Inbox`: shows messages until the client's token proves receipt.

    A token covers the messages up to its position, or those up to ``device_pos`` if
    there were more than an answer has room for.

    Deleting what was received is put off, by a second: a device that is sent one
    message after the other, and all that sync meanwhile, have it in one unit. Should
    the process die before, the client's next token proves it again. Not put off is
    that of users who *are_told_otherwise* too, of what they have not received yet.

    A device that waits is shown its messages as they were announced: no query. The
    inbox is read if memory may not have them all, or may have others.
    """

    topic = TOPIC

    def __init__(
        self,
        db: Reader,
        journal: Journal,
        are_told_otherwise: Callable[[UserId], bool] = lambda _: False,
    ) -> None:
        self._db = db
        self._journal = journal
        self._are_told_otherwise = are_told_otherwise
        self.cache: ByteLRU[tuple[UserId, DeviceId], _Known] = ByteLRU(_KNOWN_BYTES)
        """Of what is known of inboxes without a query."""
        # Up to where messages are still to be deleted: at most one entry a device.
        self._received: dict[tuple[UserId, DeviceId], int] = {}
        self._has_received = asyncio.Event()

    async def received(
        self, user_id: UserId, device_id: DeviceId, since: StreamToken
    ) -> None:
        """What the token proves that the device has is not shown again, and deleted
        soon. No query where this process has shown it, or there is none.
        """
        place = (user_id, device_id)
        received_pos = since.received_pos
        known = self.cache.get(place)
        if known is None:
            known = _Known()
            self.cache.put(place, known, _ENTRY_BYTES)
        has_shown = known.has_shown(received_pos)
        if (
            not has_shown
            and known.received_pos is not None
            and (
                received_pos <= known.received_pos
                or self._journal.changed_pos(TOPIC, user_id) <= known.received_pos
            )
        ):
            return
        if has_shown or await storage.has_messages(
            self._db, user_id, device_id, up_to=received_pos
        ):
            if not self._received:
                self._has_received.set()
            self._received[place] = max(received_pos, self._received.get(place, 0))
            if self._are_told_otherwise(user_id):
                await self.delete_received()
        known.received_pos = received_pos

    async def run(self) -> None:
        """Delete what was received for ever; meant for the supervisor."""
        while True:
            await self._has_received.wait()
            await asyncio.sleep(GATHERED_S)
            await self.delete_received()

    async def close(self) -> None:
        """Delete what was received, if that can be done: the server stops."""
        try:
            await self.delete_received()
        except (DatabaseUnavailable, Unknown) as error:
            log.warning("received_messages_kept", reason=str(error))

    async def delete_received(self) -> None:
        """Delete what was received by now: one unit, and none if nothing was."""
        received = dict(self._received)
        if not received:
            return
        unit = self._journal.unit()
        storage.delete_received(unit, received)
        await self._journal.commit(unit)
        for place, pos in received.items():
            if self._received.get(place) == pos:
                del self._received[place]
        if not self._received:
            self._has_received.clear()

    async def page(
        self, ctx: SyncContext, since: StreamToken | None, *, limit: int = PAGE_MAX
    ) -> InboxPage:
        """The oldest messages that the device has not received, at most *limit*."""
        if ctx.device_id is None:
            return _NOTHING
        place = (ctx.user_id, ctx.device_id)
        received_pos = max(
            since.received_pos if since else 0, self._received.get(place, 0)
        )
        found: Sequence[tuple[int, str]] | None = ()
        known = None
        if self._journal.changed_pos(TOPIC, ctx.user_id) > received_pos:
            limit = min(limit, PAGE_MAX)
            known = self.cache.get(place)
            found = self._remembered(place, known, received_pos, up_to=ctx.now)
            if found is None:
                found = await storage.messages_after(
                    self._db, *place, after=received_pos, up_to=ctx.now, limit=limit + 1
                )
        if not found:
            if since is None:
                # There is nothing to delete when its first token comes back.
                self.cache.put(place, _Known(received_pos=ctx.now), _ENTRY_BYTES)
            return _NOTHING
        page = found[:limit]
        if known is not None:
            known.shown_pos = page[-1][0]
        return InboxPage(
            events=[event for _, event in page],
            device_pos=page[-1][0] if len(found) > len(page) else None,
        )

    def _remembered(
        self,
        place: tuple[UserId, DeviceId],
        known: _Known | None,
        after: int,
        *,
        up_to: int,
    ) -> list[tuple[int, str]] | None:
        """The messages between two positions as they were announced; None if those may
        not be what is in the inbox.

        What the device has proven to have is left out, as it may be deleted.
        """
        user_id, device_id = place
        if known is None or known.received_pos is None:
            return None
        told = self._journal.tail(TOPIC, user_id, max(after, known.received_pos))
        if told is None or self._are_told_otherwise(user_id):
            return None
        found: list[tuple[int, str]] = []
        for pos, payload in told:
            if payload is None:
                return None
            event = cast("Told", payload).get(device_id)
            if event is not None and pos <= up_to:
                found.append((pos, event))
        return found
