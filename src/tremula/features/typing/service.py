"""Who is typing where. It is in memory only: of the time before a restart nothing
remains but the rooms, so that clients do not show somebody typing for ever.

Every process knows it all. The one that was told last says when it is over; the others
say so somewhat later if it has not, because it has crashed.
"""

import asyncio
import heapq
import secrets
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from msgspec import Struct

from tremula.features.typing import storage
from tremula.infra.clock import Clock
from tremula.infra.db import Reader
from tremula.infra.journal import Journal
from tremula.infra.notifier import Users
from tremula.protocol.identifiers import RoomId, UserId
from tremula.protocol.json import encode_to_keep
from tremula.rooms.memberships import TOPIC as MEMBERSHIP_TOPIC
from tremula.rooms.reader import RoomReader
from tremula.rooms.storage import UserRoom
from tremula.rooms.view import RoomView

TOPIC: Final = "typing"
"""Announced with the room nid as key and a `TypingChange` when somebody begins to type,
or ends; `Typing.of_room` says who types."""
STILL_TOPIC: Final = "typing_still"
"""Announced in the same way, to other processes, when somebody goes on to type."""

TIMEOUT_DEFAULT_MS: Final = 30_000
TIMEOUT_MAX_MS: Final = 120_000
# More are not shown: nobody reads so many names while they type.
USERS_MAX: Final = 50

# How long clients may have been away that still show somebody typing.
LATELY_MS: Final = 24 * 3600 * 1000

_RESOLUTION_S: Final = 1.0
# So much later a process says what another one should have said.
_GRACE_S: Final = 5.0
_RECORD_EVERY_S: Final = 3600
_RECORDED_MAX: Final = 50_000
_NIDS_PER_QUERY: Final = 500


class TypingChange(Struct, frozen=True):
    """*user_id* types for ``timeout_ms`` from now on; 0: not any more.

    ``told_to`` is a random name of the process that knows it from the client.
    """

    room_id: RoomId
    user_id: UserId
    timeout_ms: int
    told_to: str


class TypingUsers(Struct, frozen=True):
    """Everyone who types in a room, and the ``m.typing`` event that says so."""

    user_ids: tuple[UserId, ...]
    event_json: bytes

    @classmethod
    def of(cls, user_ids: tuple[UserId, ...]) -> "TypingUsers":
        """Encode the event once for everyone."""
        event = {"type": "m.typing", "content": {"user_ids": user_ids}}
        return cls(user_ids, encode_to_keep(event))


class TypingListener(Protocol):
    """Told of everyone who begins, goes on or ends to type."""

    def __call__(self, view: RoomView, user_id: UserId, *, is_typing: bool) -> None:
        """*user_id* types, or does not any more."""
        ...


class _TypingRoom(Struct):
    room_id: RoomId
    deadlines_s: dict[UserId, float]
    shown: TypingUsers
    # Of those whose end this process has to tell.
    ours: set[UserId]


class Typing:
    """Keeps the typing users of each room until they stop or time out."""

    def __init__(
        self, db: Reader, reader: RoomReader, journal: Journal, clock: Clock
    ) -> None:
        self._db = db
        self._reader = reader
        self._journal = journal
        self._clock = clock
        self._rooms: dict[int, _TypingRoom] = {}
        # (deadline_s, room_nid, user_id), one for each who types. A refresh leaves it
        # alone: it is pushed again, with the new deadline, when the old one comes.
        self._timers: list[tuple[float, int, UserId]] = []
        self._timer_of: dict[tuple[int, UserId], float] = {}
        # When it was stored last that somebody types in a room.
        self._recorded_s: dict[int, float] = {}
        self._somebody_types = asyncio.Event()
        self._listeners: list[TypingListener] = []
        self._name = secrets.token_hex(4)
        journal.subscribe(TOPIC, self._take)
        journal.subscribe(STILL_TOPIC, self._take_still)
        journal.subscribe(MEMBERSHIP_TOPIC, self._membership_changed)

    def listen(self, listener: TypingListener) -> None:
        """Let *listener* know of everyone who types; it must not wait."""
        self._listeners.append(listener)

    def of_room(self, room_nid: int) -> TypingUsers | None:
        """Who types in a room now; ``None`` if nobody does."""
        room = self._rooms.get(room_nid)
        return room.shown if room else None

    @property
    def rooms(self) -> AbstractSet[int]:
        """The nids of the rooms in which somebody types."""
        return self._rooms.keys()

    async def lately_among(self, room_nids: Collection[int]) -> set[int]:
        """Those of *room_nids* in which somebody types or did on the last day.

        Also before a restart. One query for 500 rooms.
        """
        nids = list(room_nids)
        since_ts_ms = self._clock.now_ms() - LATELY_MS
        found = self._rooms.keys() & set(nids)
        for start in range(0, len(nids), _NIDS_PER_QUERY):
            found |= await storage.typing_rooms_among(
                self._db, nids[start : start + _NIDS_PER_QUERY], since_ts_ms=since_ts_ms
            )
        return found

    async def start(self, user_id: UserId, room_id: RoomId, *, timeout_ms: int) -> None:
        """*user_id* types in a room, for *timeout_ms* unless this is repeated.

        Raises:
            Forbidden: *user_id* is not joined to *room_id*.
        """
        view = await self._reader.get_joined(room_id, user_id)
        await self._record(view.nid)
        change = TypingChange(
            room_id, user_id, min(timeout_ms, TIMEOUT_MAX_MS), self._name
        )
        room = self._rooms.get(view.nid)
        if room is not None and user_id in room.deadlines_s:
            if self._journal.is_alone:
                self._take_still(self._journal.position, view.nid, change)
            else:
                self._journal.ephemeral(STILL_TOPIC, view.nid, change)
        elif room is not None and len(room.deadlines_s) >= USERS_MAX:
            return
        else:
            pos = self._announce(view.nid, change, view.joined_members())
            await self._journal.settled(pos)

    async def stop(self, user_id: UserId, room_id: RoomId) -> None:
        """*user_id* does not type in a room any more.

        Raises:
            Forbidden: *user_id* is not joined to *room_id*.
        """
        view = await self._reader.get_joined(room_id, user_id)
        room = self._rooms.get(view.nid)
        if room is not None and user_id in room.deadlines_s:
            await self._journal.settled(self._end(view.nid, room, user_id))

    async def run(self) -> None:
        """Time users out for ever; meant for the supervisor."""
        while True:
            await self._somebody_types.wait()
            await asyncio.sleep(_RESOLUTION_S)
            self.time_out()

    def time_out(self) -> None:
        """Remove everyone whose time is over."""
        now_s = self._clock.monotonic_s()
        while self._timers and self._timers[0][0] <= now_s:
            timer_s, room_nid, user_id = heapq.heappop(self._timers)
            if self._timer_of.get((room_nid, user_id)) == timer_s:
                del self._timer_of[room_nid, user_id]
            room = self._rooms.get(room_nid)
            deadline_s = room.deadlines_s.get(user_id) if room else None
            if room is None or deadline_s is None:
                continue
            if deadline_s > now_s:
                self._set_timer(room_nid, user_id, deadline_s)
            else:
                self._end(room_nid, room, user_id)
        if not self._timers:
            self._somebody_types.clear()

    async def _record(self, room_nid: int) -> None:
        now_s = self._clock.monotonic_s()
        recorded_s = self._recorded_s.get(room_nid)
        if recorded_s is not None and now_s - recorded_s < _RECORD_EVERY_S:
            return
        unit = self._journal.unit()
        storage.upsert_typing_room(unit, room_nid, typed_ts_ms=self._clock.now_ms())
        await self._journal.commit(unit)
        if len(self._recorded_s) >= _RECORDED_MAX:
            self._recorded_s.clear()
        self._recorded_s[room_nid] = now_s

    def _set_timer(self, room_nid: int, user_id: UserId, deadline_s: float) -> None:
        timer_s = self._timer_of.get((room_nid, user_id))
        if timer_s is not None and timer_s <= deadline_s:
            return
        self._timer_of[room_nid, user_id] = deadline_s
        heapq.heappush(self._timers, (deadline_s, room_nid, user_id))
        self._somebody_types.set()

    def _end(self, room_nid: int, room: _TypingRoom, user_id: UserId) -> int:
        """Tell all that *user_id* types no more; the position of that."""
        change = TypingChange(room.room_id, user_id, 0, self._name)
        view = self._reader.find_loaded(room.room_id)
        # If it is not in memory, nobody waits here for its news.
        return self._announce(room_nid, change, view.joined_members() if view else ())

    def _announce(self, room_nid: int, change: TypingChange, members: Users) -> int:
        return self._journal.ephemeral(
            TOPIC, room_nid, change, wake=members, room_nids=(room_nid,)
        )

    def _take(self, _pos: int, room_nid: object, change: object) -> None:
        assert isinstance(room_nid, int)
        assert isinstance(change, TypingChange)
        room = self._rooms.get(room_nid)
        if change.timeout_ms:
            self._add(room_nid, room, change)
        elif room is not None and change.user_id in room.deadlines_s:
            del room.deadlines_s[change.user_id]
            room.ours.discard(change.user_id)
            room.shown = TypingUsers.of(tuple(room.deadlines_s))
            if not room.deadlines_s:
                del self._rooms[room_nid]
        self._tell(change)

    def _take_still(self, _pos: int, room_nid: object, change: object) -> None:
        # Of whoever began to type before this process was there it hears so.
        assert isinstance(room_nid, int)
        assert isinstance(change, TypingChange)
        self._add(room_nid, self._rooms.get(room_nid), change)
        self._tell(change)

    def _add(
        self, room_nid: int, room: _TypingRoom | None, change: TypingChange
    ) -> None:
        if room is None:
            room = _TypingRoom(change.room_id, {}, TypingUsers.of(()), set())
            self._rooms[room_nid] = room
        is_new = change.user_id not in room.deadlines_s
        if is_new and len(room.deadlines_s) >= USERS_MAX:
            return
        self._keep(room_nid, room, change)
        if is_new:
            room.shown = TypingUsers.of(tuple(room.deadlines_s))

    def _keep(self, room_nid: int, room: _TypingRoom, change: TypingChange) -> None:
        """*user_id* types in *room* for a while from now on."""
        user_id, timeout_s = change.user_id, change.timeout_ms / 1000
        if change.told_to == self._name:
            room.ours.add(user_id)
        else:
            room.ours.discard(user_id)
            timeout_s += _GRACE_S
        deadline_s = self._clock.monotonic_s() + timeout_s
        room.deadlines_s[user_id] = deadline_s
        self._set_timer(room_nid, user_id, deadline_s)

    def _tell(self, change: TypingChange) -> None:
        view = self._reader.find_loaded(change.room_id)
        if view is not None:
            for listener in self._listeners:
                listener(view, change.user_id, is_typing=change.timeout_ms > 0)

    def _membership_changed(self, _pos: int, user_id: object, room: object) -> None:
        assert isinstance(user_id, str)
        assert isinstance(room, UserRoom)
        typing = self._rooms.get(room.room_nid)
        if room.membership == "join" or typing is None:
            return
        if UserId(user_id) in typing.ours:
            self._end(room.room_nid, typing, UserId(user_id))
