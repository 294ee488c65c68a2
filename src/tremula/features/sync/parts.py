"""What other features contribute to an answer of CS ``sync``.

`/sync` never imports its contributors: it is handed a tuple of parts. A part reads
the positions after *since*, up to ``ctx.now``; *since* 0 asks for everything. It
applies the part of ``ctx.filter`` that speaks of its section.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from tremula.infra.tokens import StreamToken
from tremula.protocol.filters import NO_FILTER, Filter
from tremula.protocol.identifiers import DeviceId, RoomId, UserId
from tremula.protocol.presence import PresenceState


class RoomRef(Struct, frozen=True):
    """A room by its number in the database and by its ID."""

    nid: int
    room_id: RoomId


class SyncContext(Struct, frozen=True):
    """Who syncs, and up to which position the answer reaches.

    ``joined_rooms`` maps the room nids of the rooms that the user is joined to.
    Events of ``ignored_users`` are not shown. ``full_state`` is the request's. Topics
    that are not in ``heard`` have said nothing since the request's token, up to
    ``now``; None if any may have. If there is no news but events, and messages to the
    device, ``only_events_in`` has the nids of the rooms with any events; None if there
    may be other news. In
    ``sent_members`` are numbers of member events that the device has for certain, to
    which more may be added.
    """

    user_id: UserId
    device_id: DeviceId | None
    now: int
    joined_rooms: Mapping[int, RoomId]
    ignored_users: frozenset[UserId] = frozenset()
    filter: Filter = NO_FILTER
    full_state: bool = False
    heard: AbstractSet[str] | None = None
    only_events_in: AbstractSet[object] | None = None
    sent_members: set[int] | None = None

    def may_have(self, topic: str) -> bool:
        """Whether *topic* may have said something since the request's token."""
        return self.heard is None or topic in self.heard


class RoomSection(StrEnum):
    """The part of a room in the answer that a `RoomPart` adds events to."""

    ACCOUNT_DATA = "account_data"
    EPHEMERAL = "ephemeral"


class RoomPart(Protocol):
    """Adds events to one section of each room."""

    @property
    def section(self) -> RoomSection:
        """Where the events belong."""
        ...

    @property
    def topics(self) -> Collection[str]:
        """While these are silent, it has nothing new, and is not asked."""
        ...

    async def changed_rooms(self, ctx: SyncContext, since: int) -> Collection[int]:
        """Nids of rooms with something new for the user; may name one too many.

        An ephemeral part answers for ``ctx.joined_rooms`` only.
        """
        ...

    async def room_events(
        self, ctx: SyncContext, rooms: Sequence[RoomRef], since: int
    ) -> Mapping[int, Sequence[bytes]]:
        """The new events by room nid, each as JSON; rooms without any are absent."""
        ...


class UnreadRooms(Protocol):
    """Knows how much of each room is unread."""

    @property
    def topics(self) -> Collection[str]:
        """While these are silent, nobody has read anything."""
        ...

    async def changed_rooms(self, ctx: SyncContext, since: int) -> Collection[int]:
        """Nids of joined rooms in which the user has read something."""
        ...

    async def fields(
        self, ctx: SyncContext, room_nids: Collection[int]
    ) -> Mapping[int, bytes]:
        """What is said of it by room nid: members of a JSON object, as JSON."""
        ...


class UserPart(Protocol):
    """Fills one top-level key of the answer."""

    @property
    def key(self) -> str:
        """The key: ``account_data``, ``presence``, ``to_device`` …"""
        ...

    @property
    def topics(self) -> Collection[str]:
        """While these are silent, it has nothing new, and is not asked."""
        ...

    async def user_section(self, ctx: SyncContext, since: int) -> bytes | None:
        """The JSON value of the key, or ``None`` to leave it out."""
        ...


class _Part(Protocol):
    @property
    def topics(self) -> Collection[str]: ...


P = TypeVar("P", bound=_Part)


class Parts(Generic[P]):
    """Parts of one kind, and what any of them follows."""

    __slots__ = ("all", "topics")

    def __init__(self, parts: Sequence[P]) -> None:
        self.all = tuple(parts)
        self.topics = frozenset(topic for part in parts for topic in part.topics)

    def speaking(self, heard: AbstractSet[str] | None) -> Sequence[P]:
        """Those that may have something new where the topics *heard* have, or any may:
        mostly none, which is one comparison.
        """
        if heard is None:
            return self.all
        if self.topics.isdisjoint(heard):
            return ()
        return [part for part in self.all if not heard.isdisjoint(part.topics)]


class DeviceStatus(Protocol):
    """Says in every answer how things are with a device. That is no news by itself."""

    @property
    def topic(self) -> str:
        """While it is silent, things are as they were."""
        ...

    async def fields(self, user_id: UserId, device_id: DeviceId) -> bytes:
        """What is said at the top level of the answer: members of a JSON object."""
        ...


class InboxPage(Struct, frozen=True):
    """Messages to a device, each as JSON.

    ``device_pos`` is the position of the last one, if there are more that come next.
    """

    events: Sequence[str] = ()
    device_pos: int | None = None


class Inbox(Protocol):
    """Has what was sent to a device and it has not received."""

    @property
    def topic(self) -> str:
        """While it is silent, nothing is sent."""
        ...

    async def received(
        self, user_id: UserId, device_id: DeviceId, since: StreamToken
    ) -> None:
        """A device comes with this token: it has what that covers."""
        ...

    async def page(self, ctx: SyncContext, since: StreamToken | None) -> InboxPage:
        """The oldest messages that *since* does not cover."""
        ...


class IgnoredUsers(Protocol):
    """Knows whose events a user does not want to see."""

    @property
    def topic(self) -> str:
        """While it is silent, nobody ignores others than before."""
        ...

    async def ignored_users(self, user_id: UserId) -> frozenset[UserId]:
        """Whom *user_id* ignores."""
        ...


class InviteBlocks(Protocol):
    """Knows who wants no invitations."""

    async def is_blocked(self, invitee: UserId) -> bool:
        """Whether *invitee* takes none."""
        ...


class PresenceWatch(Protocol):
    """Is told of every sync, which shows that its user is there."""

    def touch(
        self, user_id: UserId, state: PresenceState, *, hold_s: float = 0.0
    ) -> None:
        """A client of *user_id* asks for news, and will wait for at most *hold_s*."""
        ...
