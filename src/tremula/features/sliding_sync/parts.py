"""What other features tell clients of sliding sync, beside the parts of `/sync`."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from tremula.features.sync.parts import InboxPage, RoomRef, SyncContext
from tremula.infra.tokens import StreamToken
from tremula.protocol.identifiers import DeviceId, UserId
from tremula.rooms.events import StoredEvent


class Unread(Protocol):
    """How many events of a room notify a user who has not read them."""

    @property
    def notifications(self) -> int:
        """All of them."""
        ...

    @property
    def highlights(self) -> int:
        """Those that are highlighted."""
        ...


class UnreadCounter(Protocol):
    """Counts them."""

    async def changed_rooms(self, ctx: SyncContext, since: int) -> Collection[int]:
        """Joined rooms in which the user has read something after *since*."""
        ...

    async def of_rooms(
        self, ctx: SyncContext, room_nids: Collection[int]
    ) -> Mapping[int, Unread]:
        """Those outside of threads, of rooms that the user is joined to."""
        ...


class GlobalEvents(Protocol):
    """Has what a user has set for no room."""

    async def events(self, ctx: SyncContext, since: int) -> Sequence[bytes]:
        """What is new after *since*, each as JSON."""
        ...


class RoomReceipts(Protocol):
    """Has receipts, as one ``m.receipt`` event a room."""

    async def of_rooms(
        self, ctx: SyncContext, rooms: Sequence[RoomRef], since: int
    ) -> Mapping[int, bytes]:
        """Those after *since*, by room nid."""
        ...

    async def of_timelines(
        self, ctx: SyncContext, timelines: Mapping[int, Sequence[StoredEvent]]
    ) -> Mapping[int, bytes]:
        """Those for events that are shown, by room nid; and the user's own."""
        ...

    async def changed_rooms(self, ctx: SyncContext, since: int) -> Collection[int]:
        """Joined rooms with a receipt after *since*; maybe one too many."""
        ...


class BoundedInbox(Protocol):
    """Has what was sent to a device and it has not received."""

    async def received(
        self, user_id: UserId, device_id: DeviceId, since: StreamToken
    ) -> None:
        """A device comes with this token: it has what that covers."""
        ...

    async def page(
        self, ctx: SyncContext, since: StreamToken | None, *, limit: int
    ) -> InboxPage:
        """The oldest messages that *since* does not cover, at most *limit*."""
        ...
