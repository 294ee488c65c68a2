"""The inbox of a device in `/sync`."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tremula.features.sync.parts import InboxPage, SyncContext
from tremula.features.to_device import storage
from tremula.features.to_device.service import TOPIC
from tremula.infra.cache import ByteLRU
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.infra.tokens import StreamToken
from tremula.protocol.identifiers import DeviceId, UserId

# "100 messages is recommended as a reasonable limit."
PAGE_MAX: Final = 100

_KNOWN_BYTES: Final = 8 * 1024 * 1024
_ENTRY_BYTES: Final = 300

_NOTHING: Final = InboxPage()


class _Known(Struct):
    """Up to where a device's messages are deleted, and were last shown by this process.

    What is not known is looked up: losing this costs a query.
    """

    emptied_pos: int | None = None
    shown_pos: int = 0

    def has_shown(self, up_to: int) -> bool:
        """Whether there are messages up to that position for certain."""
        return (self.emptied_pos or 0) < self.shown_pos <= up_to


class DeviceInbox:
    """Implements `Inbox`: shows messages until the client's token proves receipt.

    A token covers the messages up to its position, or those up to ``device_pos`` if
    there were more than an answer has room for.
    """

    def __init__(self, db: Reader, journal: Journal) -> None:
        self._db = db
        self._journal = journal
        self.cache: ByteLRU[tuple[UserId, DeviceId], _Known] = ByteLRU(_KNOWN_BYTES)
        """Of what is known of inboxes without a query."""

    async def received(
        self, user_id: UserId, device_id: DeviceId, since: StreamToken
    ) -> None:
        """Delete what the token proves that the device has. Durable on return."""
        received_pos = since.received_pos
        known = self.cache.get((user_id, device_id)) or _Known()
        if known.emptied_pos is not None and (
            received_pos <= known.emptied_pos
            or self._journal.changed_pos(TOPIC, user_id) <= known.emptied_pos
        ):
            return
        if known.has_shown(received_pos) or await storage.has_messages(
            self._db, user_id, device_id, up_to=received_pos
        ):
            unit = self._journal.unit()
            storage.delete_messages(unit, user_id, device_id, up_to=received_pos)
            await self._journal.commit(unit)
        known.emptied_pos = received_pos
        self.cache.put((user_id, device_id), known, _ENTRY_BYTES)

    async def page(
        self, ctx: SyncContext, since: StreamToken | None, *, limit: int = PAGE_MAX
    ) -> InboxPage:
        """The oldest messages that the device has not received, at most *limit*."""
        if ctx.device_id is None:
            return _NOTHING
        place = (ctx.user_id, ctx.device_id)
        received_pos = since.received_pos if since else 0
        found: Sequence[tuple[int, str]] = ()
        if self._journal.changed_pos(TOPIC, ctx.user_id) > received_pos:
            limit = min(limit, PAGE_MAX)
            found = await storage.messages_after(
                self._db, *place, after=received_pos, up_to=ctx.now, limit=limit + 1
            )
        if not found:
            if since is None:
                # There is nothing to delete when its first token comes back.
                self.cache.put(place, _Known(emptied_pos=ctx.now), _ENTRY_BYTES)
            return _NOTHING
        page = found[:limit]
        known = self.cache.get(place)
        if known is not None:
            known.shown_pos = page[-1][0]
        return InboxPage(
            events=[event for _, event in page],
            device_pos=page[-1][0] if len(found) > len(page) else None,
        )
