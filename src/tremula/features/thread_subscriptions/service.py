"""Subscribing to threads, and telling a user's devices of it (MSC4306, MSC4308)."""

from typing import Any, Final

from msgspec import Struct

from tremula.features.thread_subscriptions import storage
from tremula.features.thread_subscriptions.storage import Kind, Subscription
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.infra.rereading import reread_on_conflict
from tremula.infra.tokens import StreamToken
from tremula.protocol.errors import InvalidParam, MatrixError, NotFound
from tremula.protocol.identifiers import EventId, RoomId, UserId
from tremula.rooms.event_store import EventStore
from tremula.rooms.events import StoredEvent
from tremula.rooms.reader import RoomReader
from tremula.rooms.threads import thread_root
from tremula.rooms.visibility import Visibility

TOPIC: Final = "thread_subscription"
"""Announced by user ID, without a payload."""

SUBSCRIPTIONS_MAX: Final = 20_000
"""Of how many threads it is kept what they are to a user."""


class NotInThread(MatrixError):
    """What is said to be the cause of an automatic subscription is elsewhere."""

    errcode = "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD"


class ConflictingUnsubscription(MatrixError):
    """The user has unsubscribed since a thread's event that a client subscribes for."""

    errcode = "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION"
    http_status = 409


class Changes(Struct, frozen=True):
    """The newest changes, by room and thread root.

    ``more_before`` is a token where there are older ones that were left out.
    """

    subscribed: dict[RoomId, dict[EventId, dict[str, Any]]]
    unsubscribed: dict[RoomId, dict[EventId, dict[str, Any]]]
    more_before: str | None

    def to_json(self, token_key: str) -> dict[str, object]:
        """The members of an answer, in which the token has the name *token_key*."""
        members: dict[str, object] = {}
        if self.subscribed:
            members["subscribed"] = self.subscribed
        if self.unsubscribed:
            members["unsubscribed"] = self.unsubscribed
        if self.more_before is not None:
            members[token_key] = self.more_before
        return members


class ThreadSubscriptions(Struct, frozen=True):
    """Keeps what threads are to our own users."""

    db: Reader
    journal: Journal
    reader: RoomReader
    events: EventStore
    visibility: Visibility

    async def find(
        self, user_id: UserId, room_id: RoomId, root_id: EventId
    ) -> Subscription:
        """The user's subscription to a thread.

        Raises:
            NotFound: there is none, or no such thread that the user may see.
        """
        root = await self._visible(user_id, room_id, root_id)
        found = await self._find(user_id, root)
        if found is None or found.kind is Kind.UNSUBSCRIBED:
            raise NotFound("You are not subscribed to this thread.")
        return found

    async def subscribe(
        self,
        user_id: UserId,
        room_id: RoomId,
        root_id: EventId,
        *,
        cause_id: EventId | None = None,
    ) -> None:
        """Subscribe to a thread: the user wants it, or a client for the event
        *cause_id* in it.

        Raises:
            NotFound: there is no such thread that the user may see.
            NotInThread: the cause is no event of the thread.
            ConflictingUnsubscription: the user did not want it after the cause.
            InvalidParam: it would be one too many.
        """
        root = await self._visible(user_id, room_id, root_id)
        cause = None
        if cause_id is not None:
            cause = await self._cause(user_id, room_id, root_id, cause_id)

        async def attempt() -> None:
            seen = await self._find(user_id, root)
            if cause is None:
                await self._replace(user_id, root, seen, Kind.MANUAL)
                return
            if seen is None:
                await self._replace(user_id, root, seen, Kind.AUTOMATIC)
            elif seen.kind is Kind.UNSUBSCRIBED:
                if cause.journal_pos <= seen.pos:
                    raise ConflictingUnsubscription("You have unsubscribed since.")
                await self._replace(user_id, root, seen, Kind.AUTOMATIC)

        await reread_on_conflict(attempt)

    async def unsubscribe(
        self, user_id: UserId, room_id: RoomId, root_id: EventId
    ) -> None:
        """Undo a subscription, if there is one.

        Raises:
            NotFound: there is no such thread that the user may see.
        """
        root = await self._visible(user_id, room_id, root_id)

        async def attempt() -> None:
            seen = await self._find(user_id, root)
            if seen is not None:
                await self._replace(user_id, root, seen, Kind.UNSUBSCRIBED)

        await reread_on_conflict(attempt)

    async def changes(
        self, user_id: UserId, *, since: int, up_to: int, limit: int
    ) -> Changes:
        """What has changed after *since*, up to *up_to*: the newest, at most *limit*.

        No query if memory knows that nothing has.
        """
        if self.journal.changed_pos(TOPIC, user_id) <= since:
            return Changes({}, {}, None)
        found = await storage.subscriptions_between(
            self.db, user_id, after=since, up_to=up_to, limit=limit + 1
        )
        more_before = None
        if len(found) > limit:
            more_before = str(StreamToken(found[limit].pos))
        room_ids = await self.reader.room_ids({each.room_nid for each in found})
        changes = Changes({}, {}, more_before)
        for each in found[:limit]:
            room_id = room_ids.get(each.room_nid)
            if room_id is None:
                # The room is gone from this server.
                continue
            if each.kind is Kind.UNSUBSCRIBED:
                ended = changes.unsubscribed.setdefault(room_id, {})
                ended[each.root_id] = {"bump_stamp": each.pos}
            else:
                subscribed = changes.subscribed.setdefault(room_id, {})
                subscribed[each.root_id] = {
                    "automatic": each.kind is Kind.AUTOMATIC,
                    "bump_stamp": each.pos,
                }
        return changes

    async def _visible(
        self, user_id: UserId, room_id: RoomId, event_id: EventId
    ) -> StoredEvent:
        view = await self.reader.get_room(room_id)
        event = await self.events.get(view.nid, event_id)
        viewer = await self.visibility.viewer(view, user_id)
        if not viewer.can_see(event):
            raise NotFound("Event not found.")
        return event

    async def _cause(
        self, user_id: UserId, room_id: RoomId, root_id: EventId, cause_id: EventId
    ) -> StoredEvent:
        try:
            cause = await self._visible(user_id, room_id, cause_id)
        except NotFound as error:
            raise NotInThread("There is no such event in the thread.") from error
        if thread_root(cause.content) != root_id:
            raise NotInThread("The event is not in the thread.")
        return cause

    async def _find(self, user_id: UserId, root: StoredEvent) -> Subscription | None:
        return await storage.find_subscription(
            self.db, user_id, root.room_nid, root.event_id
        )

    async def _replace(
        self,
        user_id: UserId,
        root: StoredEvent,
        seen: Subscription | None,
        kind: Kind,
    ) -> None:
        if seen is None:
            count = await storage.count_subscriptions(self.db, user_id)
            if count >= SUBSCRIPTIONS_MAX:
                raise InvalidParam(f"no more than {SUBSCRIPTIONS_MAX} threads")
        elif seen.kind is kind:
            return
        unit = self.journal.unit()
        pos = unit.pos()
        changed = Subscription(root.room_nid, root.event_id, kind, pos)
        seen_pos = 0 if seen is None else seen.pos
        storage.replace_subscription(unit, user_id, changed, seen_pos=seen_pos)
        unit.announce(TOPIC, user_id, None, pos=pos)
        unit.wake({user_id})
        await self.journal.commit(unit)


class ThreadSubscribers(Struct, frozen=True):
    """Knows who wants to be told of a thread."""

    db: Reader

    async def of(self, room_nid: int, root_id: EventId) -> frozenset[UserId]:
        """Those of our users who are subscribed to a thread. One query."""
        return await storage.subscribers_of(self.db, room_nid, root_id)


class SubscriptionErasure(Struct, frozen=True):
    """Forgets the subscriptions of users who are gone."""

    journal: Journal

    async def erase(self, user_id: UserId) -> None:
        """Remove what is known of *user_id*."""
        unit = self.journal.unit()
        storage.delete_subscriptions(unit, user_id)
        await self.journal.commit(unit)
