"""The extensions that are about a device and no room (MSC3884, MSC3885)."""

from collections.abc import Mapping

from msgspec import Struct

from tremula.features.sliding_sync.parts import BoundedInbox
from tremula.features.sliding_sync.request import SlidingBody, WantedExtensions
from tremula.features.sliding_sync.storage import ConnectionKey
from tremula.features.sync.parts import DeviceStatus, InboxPage, SyncContext, UserPart
from tremula.infra.journal import Journal
from tremula.infra.tokens import StreamToken
from tremula.protocol.errors import InvalidParam


class DeviceNews(Struct, frozen=True):
    """Messages to a device, and whose devices have changed."""

    page: InboxPage
    device_lists: bytes | None

    @property
    def has_news(self) -> bool:
        """Whether there is any."""
        return bool(self.page.events) or self.device_lists is not None


class DeviceExtensions(Struct, frozen=True):
    """Tells a device of what concerns it."""

    journal: Journal
    inbox: BoundedInbox
    device_lists: UserPart
    status: DeviceStatus

    async def received(self, key: ConnectionKey, since: StreamToken | None) -> None:
        """The device has its messages up to *since*.

        Raises:
            InvalidParam: that is ahead of everything this server handed out.
        """
        if since is None or not key.device_id:
            return
        if not await self.journal.covers(since.pos):
            raise InvalidParam("since is not a token of this server")
        await self.inbox.received(key.user_id, key.device_id, since)

    async def news(
        self,
        ctx: SyncContext,
        wanted: WantedExtensions,
        pos: int,
        since: StreamToken | None,
    ) -> DeviceNews:
        """What a device lacks that comes with *pos*, and has messages up to *since*.

        On its first request it knows nobody's devices: none have changed.
        """
        page, device_lists = InboxPage(), None
        if wanted.to_device:
            page = await self.inbox.page(ctx, since, limit=wanted.to_device_limit)
        if wanted.e2ee and pos:
            device_lists = await self.device_lists.user_section(ctx, pos)
        return DeviceNews(page, device_lists)

    def token(
        self, body: SlidingBody, news: DeviceNews | None, pos: int
    ) -> StreamToken | None:
        """The token for the messages after those in an answer that reaches up to *pos*;
        None if nobody asks for messages.
        """
        if not body.wanted.extensions.to_device:
            return None
        page = InboxPage() if news is None else news.page
        if page.events or body.to_device_since is None:
            return StreamToken(pos, page.device_pos)
        return body.to_device_since

    async def sections(
        self,
        key: ConnectionKey,
        body: SlidingBody,
        news: DeviceNews | None,
        token: StreamToken | None,
    ) -> Mapping[str, bytes]:
        """The sections of an answer, with what holds anyway: how many keys there are
        left, and the *token* to come with next.
        """
        wanted, sections = body.wanted.extensions, dict[str, bytes]()
        if token is not None:
            page = InboxPage() if news is None else news.page
            sections["to_device"] = b'{"next_batch":"%b","events":[%b]}' % (
                str(token).encode(),
                ",".join(page.events).encode(),
            )
        if wanted.e2ee and key.device_id:
            fields = await self.status.fields(key.user_id, key.device_id)
            if news is not None and news.device_lists is not None:
                fields += b',"device_lists":%b' % news.device_lists
            sections["e2ee"] = b"{%b}" % fields
        return sections
